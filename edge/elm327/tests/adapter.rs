//! The dialogue with adapters that answer as the data sheet says, as clones do, and as broken ones do.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::HashMap, time::Duration};

use elm327::{Adapter, Config, Event, Message, Output, Route};
use isotp::{
    Address, Config as LinkConfig, Frame, Link,
    uds::{Answer, Client, ClientError, ClientOutput, Request, Timing},
};
use proptest::prelude::*;

/// An adapter by table: what it answers to a command, `OK` to those of the set-up, `NO DATA` to the others.
struct Fake {
    answers: HashMap<&'static str, &'static str>,
    echo: bool,
    asked: Vec<String>,
}

impl Fake {
    fn new(answers: &[(&'static str, &'static str)]) -> Self {
        Self {
            answers: answers.iter().copied().collect(),
            echo: false,
            asked: Vec::new(),
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let command = String::from_utf8(bytes.to_vec()).unwrap();
        let command = command.trim();
        self.asked.push(command.to_owned());
        let said = match self.answers.get(command) {
            Some(answer) => (*answer).to_owned(),
            None if command == "ATZ" || command == "ATI" => "ELM327 v1.5".into(),
            None if command == "ATRV" => "12.6V".into(),
            None if command.starts_with("AT") => "OK".into(),
            None => "NO DATA".into(),
        };
        if said == "silence" {
            return Vec::new();
        }
        let echo = if self.echo { command } else { "" };
        format!("{echo}\r{said}\r\r>").into_bytes()
    }
}

/// Runs adapter and client for 20 s of their time; what the client finishes with, and what happened.
fn ask(
    fake: &mut Fake,
    adapter: &mut Adapter,
    address: Address,
    request: &Request,
) -> (Option<Result<Answer, ClientError>>, Vec<Event>) {
    let link = Link::new(LinkConfig::new(address).padded(0)).unwrap();
    let mut client = Client::new(
        link,
        Timing {
            p2: Duration::from_secs(8),
            ..Timing::default()
        },
    );
    adapter.know([Route::of(&address)]);
    let (mut events, mut asked) = (Vec::new(), false);
    for step in 0..20_000 {
        let now = Duration::from_millis(step);
        while let Some(output) = adapter.poll(now) {
            match output {
                Output::Write(bytes) => {
                    let answer = fake.answer(&bytes);
                    adapter.on_bytes(now, &answer);
                }
                Output::Frame(frame) => {
                    client.on_frame(now, &frame);
                }
                Output::Event(event) => {
                    if matches!(event, Event::Ready(_)) && !asked {
                        asked = true;
                        client.request(request.clone()).unwrap();
                    }
                    events.push(event);
                }
                Output::Dead => return (None, events),
                Output::Voltage(millivolts) => assert_eq!(millivolts, 12_600),
            }
        }
        while let Some(output) = client.poll(now) {
            match output {
                ClientOutput::Transmit(frame) => adapter.send(frame).unwrap(),
                ClientOutput::Finished(result) => return (Some(result), events),
                ClientOutput::Sent | ClientOutput::Stray(_) => {}
            }
        }
    }
    (None, events)
}

fn vin(answer: Option<Result<Answer, ClientError>>) -> String {
    answer.unwrap().unwrap().vin().unwrap().to_string()
}

const VIN: &str = "7E81014490201314D38\r7E82147444D394158\r7E8224B503034323738\r7E82338";
const WHOLE: &str =
    "7E8 10 14 49 02 01 31 4D 38\r7E8 21 47 44 4D 39 41 58 4B\r7E8 22 50 30 34 32 37 38 38";

fn vin_request() -> Request {
    Request::decode(&[0x09, 0x02]).unwrap()
}

#[test]
fn a_long_answer_with_identifiers() {
    let mut fake = Fake::new(&[("0902", WHOLE)]);
    let (answer, events) = ask(
        &mut fake,
        &mut Adapter::new(Config::default()),
        Address::obd_11(0),
        &vin_request(),
    );
    assert_eq!(vin(answer), "1M8GDM9AXKP042788");
    assert_eq!(events, [Event::Ready("ELM327 v1.5".into())]);
    // Flow control is the adapter's: nothing that begins with 30 was written.
    assert!(fake.asked.iter().all(|text| !text.starts_with("30")));
}

#[test]
fn echo_and_the_search_are_passed_over() {
    let mut fake = Fake::new(&[("ATE0", "?"), ("22F190", "SEARCHING...\r7EC 03 7F 22 31")]);
    fake.echo = true;
    let (answer, events) = ask(
        &mut fake,
        &mut Adapter::new(Config::default()),
        Address::obd_11(4),
        &Request::did(0xF190),
    );
    assert!(matches!(answer, Some(Err(ClientError::Negative(_)))));
    assert_eq!(events[0], Event::Lacks("ATE0".into()));
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Damaged(_)))
    );
}

#[test]
fn a_clone_without_headers_answers_for_one_ecu() {
    let mut fake = Fake::new(&[
        ("ATH1", "?"),
        (
            "0902",
            "014\r0: 49 02 01 31 4D 38\r1: 47 44 4D 39 41 58 4B\r2: 50 30 34 32 37 38 38",
        ),
    ]);
    let mut adapter = Adapter::new(Config::default());
    let (answer, events) = ask(&mut fake, &mut adapter, Address::obd_11(0), &vin_request());
    assert_eq!(vin(answer), "1M8GDM9AXKP042788");
    assert!(events.contains(&Event::Lacks("ATH1".into())));
    let all = Frame::classic("7DF".parse().unwrap(), &[2, 1, 0x0D]).unwrap();
    assert!(adapter.send(all).is_err());
}

#[test]
fn extended_addressing_sends_raw_frames() {
    let address = Address::extended("6F1".parse().unwrap(), "607".parse().unwrap(), 0xF1, 0x07);
    let mut fake = Fake::new(&[("070322F190000000", "607 F1 03 7F 22 11")]);
    let (answer, _) = ask(
        &mut fake,
        &mut Adapter::new(Config::default()),
        address,
        &Request::did(0xF190),
    );
    assert!(
        matches!(answer, Some(Err(ClientError::Negative(_)))),
        "{answer:?} {:?}",
        fake.asked
    );
    assert!(fake.asked.contains(&"ATCAF0".to_owned()));
}

#[test]
fn damage_is_no_answer() {
    for (said, message) in [
        ("NO DATA", Some(Message::NoData)),
        ("CAN ERROR", Some(Message::Bus)),
        ("UNABLE TO CONNECT", Some(Message::UnableToConnect)),
        ("STOPPED", Some(Message::Stopped)),
        (
            "7E8 10 14 49 02 01 31 4D 38\rBUFFER FULL",
            Some(Message::BufferFull),
        ),
        ("7E8 10 14 49 02 01 31 4D 38 <RX ERROR", None),
        // Two lines that ran together, a line that lost its end, one that lost a byte.
        (
            "7E8 10 14 49 02 01 31 4D 38 7E8 21 47 44 4D 39 41 58 4B\r7E8 22 50 30 34 32 37 38 38",
            None,
        ),
        (
            "7E8 10 14 49 02 01 31 4D 38\r7E8 21 47 44 4D 39 41 58 4B\r7E8 22 50 30 34 32 37",
            None,
        ),
        (VIN, None),
    ] {
        let mut fake = Fake::new(&[]);
        let said: &'static str = said;
        fake.answers.insert("0902", said);
        let (answer, events) = ask(
            &mut fake,
            &mut Adapter::new(Config::default()),
            Address::obd_11(0),
            &vin_request(),
        );
        assert!(!matches!(answer, Some(Ok(_))), "{said}");
        if let Some(message) = message {
            assert!(events.contains(&Event::Said(message)), "{said}: {events:?}");
        }
    }
}

#[test]
fn after_a_brown_out_it_is_set_up_anew() {
    let mut fake = Fake::new(&[("0902", "7E8 10 14 49\rLV RESET\r\rELM327 v1.5")]);
    let mut adapter = Adapter::new(Config::default());
    let (_, events) = ask(&mut fake, &mut adapter, Address::obd_11(0), &vin_request());
    assert!(events.contains(&Event::Reset("the adapter has lost its settings")));
    assert!(fake.asked.iter().filter(|text| *text == "ATH1").count() >= 2);
    fake.answers.insert("0902", WHOLE);
    let mut adapter = Adapter::new(Config::default());
    assert_eq!(
        vin(ask(&mut fake, &mut adapter, Address::obd_11(0), &vin_request()).0),
        "1M8GDM9AXKP042788"
    );
    // At rest, too: the greeting comes by itself.
    adapter.on_bytes(Duration::from_secs(30), b"\r\rELM327 v1.5\r\r>");
    let told: Vec<_> = std::iter::from_fn(|| adapter.poll(Duration::from_secs(30))).collect();
    assert!(told.contains(&Output::Write(b"ATZ\r".to_vec())), "{told:?}");
}

#[test]
fn one_that_never_answers_is_given_up() {
    let mut adapter = Adapter::new(Config::default());
    let mut writes = 0;
    for second in 0..60 {
        match adapter.poll(Duration::from_secs(second)) {
            Some(Output::Write(_)) => writes += 1,
            Some(Output::Dead) => {
                assert_eq!(writes, 3);
                return;
            }
            _ => {}
        }
    }
    panic!("it was never given up");
}

proptest! {
    /// Whatever comes, nothing panics, no frame is longer than eight bytes, and memory stays bounded.
    #[test]
    fn nothing_that_comes_does_harm(chunks in prop::collection::vec(prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec!["7E8 03 41 0D 20\r", "OK\r\r>", ">", "?\r>", "SEARCHING...", "NO DATA\r>", "ELM327 v2.1\r>",
            "014\r0: 49 02 01 31 4D 38\r", "STOPPED\r>", "7E8 10 14 49", "\r", "LV RESET\r"]).prop_map(|text| text.as_bytes().to_vec()),
    ], 0..60)) {
        let mut adapter = Adapter::new(Config::default());
        for (step, chunk) in (0..).zip(&chunks) {
            let now = Duration::from_millis(step * 700);
            for _ in 0..100 {
                match adapter.poll(now) {
                    Some(Output::Frame(frame)) => prop_assert!(frame.data().len() <= 8),
                    Some(_) => {}
                    None => break,
                }
            }
            let _ = adapter.send(Frame::classic("7E0".parse().unwrap(), &[2, 9, 2]).unwrap());
            adapter.on_bytes(now, chunk);
        }
    }
}
