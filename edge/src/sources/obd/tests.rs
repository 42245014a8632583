//! The poller against ECUs by table.

use isotp::{
    Address, Config, FunctionalAddress, Link, Output as LinkOutput, responder::Responder, uds::Vin,
};
use vehicles::profile::Command;

use super::*;

mod shipped;

const PROFILE: &str = r#"
[[command]]
name = "speed"
request = "7E0"
service = "01"
identifier = "0D"
every = { awake = "1min", driving = "1s" }
signal = [{ name = "speed", signal = "Vehicle.Speed", length = 8 }]

[[command]]
name = "voltage"
request = "7E0"
service = "01"
identifier = "42"
every = { awake = "1min", driving = "1s" }
signal = [{ name = "voltage", length = 16, multiply = 0.001 }]

[[command]]
name = "load"
request = "7E0"
service = "01"
identifier = "04"
every = { awake = "1min", driving = "1s" }
signal = [{ name = "load", length = 8 }]

[[command]]
name = "first"
request = "7E4"
service = "22"
identifier = "0101"
answer_length = 2
every = { awake = "1min", driving = "1s" }
signal = [{ name = "first", length = 16 }]

[[command]]
name = "second"
request = "7E4"
service = "22"
identifier = "0102"
answer_length = 1
every = { awake = "1min", driving = "1s" }
signal = [{ name = "second", length = 8 }]

[[command]]
name = "third"
request = "7E4"
service = "22"
identifier = "0103"
every = { awake = "1min", driving = "1s" }
signal = [{ name = "third", length = 8 }]
"#;

fn commands(text: &str) -> Vec<Command> {
    #[derive(serde::Deserialize)]
    struct File {
        command: Vec<Command>,
    }
    toml::from_str::<File>(text).unwrap().command
}

/// An ECU that may take no more than so many identifiers at once.
struct Ecu {
    link: Link,
    responder: Responder,
    most: usize,
    asked: Vec<Vec<u8>>,
}

impl Ecu {
    /// Behind a connection, as the ECU sees it.
    fn at(address: Address, responder: Responder) -> Self {
        Self {
            link: Link::new(Config::new(address).padded(0)).unwrap(),
            responder,
            most: 100,
            asked: Vec::new(),
        }
    }

    fn new(number: u8) -> Self {
        let address = Address::obd_11(number).mirrored();
        let address = address.with_functional(FunctionalAddress::OBD_11);
        let vin: Vin = "1M8GDM9AXKP042788".parse().unwrap();
        let mut responder = Responder::with_vin(vin);
        responder.current.insert(0x0D, vec![50]);
        responder.current.insert(0x42, vec![0x2F, 0x26]);
        responder.current.insert(0x04, vec![7]);
        responder.data.insert(0x0101, vec![1, 2]);
        responder.data.insert(0x0102, vec![3]);
        responder.data.insert(0x0103, vec![4]);
        Self::at(address, responder)
    }

    fn poll(&mut self, now: Duration) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(output) = self.link.poll(now) {
            match output {
                LinkOutput::Transmit(frame) => frames.push(frame),
                LinkOutput::Received {
                    payload,
                    functional,
                    ..
                } => {
                    self.asked.push(payload.clone());
                    let several = payload[0] == 0x22 && payload.len() > 1 + 2 * self.most
                        || payload[0] == 0x01 && payload.len() > 1 + self.most;
                    let reply = if several {
                        Some(vec![0x7F, payload[0], 0x13])
                    } else {
                        let reply = self.responder.respond(&payload, functional).pop();
                        reply.map(|reply| reply.payload)
                    };
                    if let Some(reply) = reply {
                        self.link.send(now, reply).unwrap();
                    }
                }
                _ => {}
            }
        }
        frames
    }
}

/// Poller and ECUs for some seconds; what the poller says.
fn run(
    poller: &mut Poller,
    ecus: &mut [Ecu],
    from: u64,
    seconds: u64,
    state: VehicleState,
) -> Vec<Output> {
    let mut said = Vec::new();
    for step in from * 200..(from + seconds) * 200 {
        let now = Duration::from_millis(step * 5);
        while let Some(output) = poller.poll(now, state) {
            match output {
                Output::Transmit(frame) => {
                    for ecu in &mut *ecus {
                        ecu.link.on_frame(now, &frame);
                    }
                }
                other => said.push(other),
            }
        }
        for ecu in &mut *ecus {
            for frame in ecu.poll(now) {
                poller.on_frame(now, &frame);
            }
        }
    }
    said
}

/// What each signal was read as last, by name, and how often anything was read.
fn read(poller: &Poller, said: &[Output]) -> std::collections::BTreeMap<String, (i64, usize)> {
    let mut all = std::collections::BTreeMap::new();
    for output in said {
        if let Output::Readings(readings) = output {
            for reading in readings {
                let name = &poller.table().signals()[reading.signal as usize].name;
                let entry = all.entry(name.clone()).or_insert((0, 0));
                *entry = (reading.raw, entry.1 + 1);
            }
        }
    }
    all
}

fn asked(ecus: &[Ecu], begin: &[u8]) -> usize {
    let all = ecus.iter().flat_map(|ecu| &ecu.asked);
    all.filter(|request| request.starts_with(begin)).count()
}

#[test]
fn what_is_due_of_one_ecu_is_one_request() {
    let (mut poller, left_out) =
        Poller::new(Table::new(commands(PROFILE)).unwrap(), Duration::ZERO);
    assert_eq!(left_out, [] as [&str; 0]);
    let mut ecus = [Ecu::new(0), Ecu::new(4)];
    let said = run(&mut poller, &mut ecus, 1, 10, VehicleState::Driving);
    let values = read(&poller, &said);
    let raw = |name: &str| values[name].0;
    assert_eq!(
        ["speed", "voltage", "load", "first", "second", "third"].map(raw),
        [50, 0x2F26, 7, 0x0102, 3, 4]
    );
    for (name, (_, times)) in &values {
        assert!((8..=11).contains(times), "{name} was read {times} times");
    }
    // Three PIDs of one ECU, the two DIDs that it takes together, and the one that it may not take.
    assert_eq!(asked(&ecus, &[0x01]), values["speed"].1);
    assert!(asked(&ecus, &[0x22]) <= 2 * values["first"].1 + 2);
    assert!(
        ecus[0]
            .asked
            .iter()
            .any(|request| request.len() == 4 && request[0] == 1)
    );
    assert!(
        ecus[1]
            .asked
            .iter()
            .any(|request| request.len() == 5 && request[0] == 0x22)
    );
    assert!(
        ecus.iter()
            .flat_map(|ecu| &ecu.asked)
            .all(|request| request.len() <= 7)
    );
}

#[test]
fn an_ecu_that_takes_one_at_a_time_is_asked_so() {
    let (mut poller, _) = Poller::new(Table::new(commands(PROFILE)).unwrap(), Duration::ZERO);
    let mut ecus = [Ecu::new(0), Ecu::new(4)];
    for ecu in &mut ecus {
        ecu.most = 1;
    }
    let said = run(&mut poller, &mut ecus, 1, 10, VehicleState::Driving);
    let values = read(&poller, &said);
    assert_eq!(values.len(), 6, "{values:?}");
    for (name, (_, times)) in &values {
        assert!((8..=11).contains(times), "{name} was read {times} times");
    }
    let several = |ecu: &Ecu| {
        let long = |request: &&Vec<u8>| match request[0] {
            1 => request.len() > 2,
            0x22 => request.len() > 3,
            _ => false,
        };
        ecu.asked.iter().filter(long).count()
    };
    assert_eq!((several(&ecus[0]), several(&ecus[1])), (1, 1));
}

#[test]
fn pids_for_all_come_from_the_first_that_has_them() {
    let text = PROFILE.replace("7E0", "7DF");
    let (mut poller, _) = Poller::new(Table::new(commands(&text)).unwrap(), Duration::ZERO);
    let mut ecus = [Ecu::new(0), Ecu::new(4)];
    ecus[0].responder.current.remove(&0x42);
    ecus[1].responder.current.insert(0x0D, vec![99]);
    ecus[1].responder.current.insert(0x42, vec![0, 9]);
    let said = run(&mut poller, &mut ecus, 1, 10, VehicleState::Driving);
    let values = read(&poller, &said);
    assert_eq!((values["speed"].0, values["voltage"].0), (50, 9));
}

/// Whatever a profile says, only what reads is asked; nothing while it sleeps.
#[test]
fn nothing_but_reading_is_ever_asked() {
    let first = PROFILE.split("[[command]]").nth(4).unwrap();
    let mut text = String::new();
    for service in 0..=0xFFu8 {
        let service_of = format!("\"{service:02X}\"");
        let one = first.replace("\"22\"", &service_of);
        text += "[[command]]";
        text += &one.replace("\"first\"", &format!("\"c{service}\""));
    }
    let read = commands(&text);
    let usable = read
        .into_iter()
        .filter(|command| Table::new(vec![command.clone()]).is_ok());
    let (mut poller, _) = Poller::new(Table::new(usable.collect()).unwrap(), Duration::ZERO);
    let mut ecus = [Ecu::new(0), Ecu::new(4)];
    run(&mut poller, &mut ecus, 1, 30, VehicleState::Asleep);
    assert_eq!(asked(&ecus, &[]), 0);
    run(&mut poller, &mut ecus, 31, 30, VehicleState::Driving);
    assert!(asked(&ecus, &[0x22]) > 0);
    let reads = [0x01, 0x02, 0x03, 0x07, 0x09, 0x0A, 0x19, 0x21, 0x22];
    for request in ecus.iter().flat_map(|ecu| &ecu.asked) {
        assert!(reads.contains(&request[0]), "{request:02X?}");
    }
}

#[test]
fn codes_are_cleared_when_that_is_ordered_and_read_again() {
    let (mut poller, _) = Poller::new(Table::new(commands(PROFILE)).unwrap(), Duration::ZERO);
    let mut ecus = [Ecu::new(0), Ecu::new(4)];
    let awake = VehicleState::Awake;
    run(&mut poller, &mut ecus, 1, 20, awake);
    assert_eq!(asked(&ecus, &[0x14]), 0);
    let rounds = asked(&ecus, &[0x19]);
    poller.clear_codes();
    let said = run(&mut poller, &mut ecus, 21, 20, awake);
    let cleared = said.iter().find_map(|output| match output {
        Output::Cleared(result) => Some(result.clone()),
        _ => None,
    });
    assert_eq!(cleared, Some(Ok(2)));
    let clear = Request::ClearDiagnosticInformation { group: 0xFF_FFFF };
    assert_eq!(asked(&ecus, &clear.encode().unwrap()), 2);
    assert!(asked(&ecus, &[0x19]) > rounds, "what is left is read");
    assert_eq!(asked(&ecus, &[0x14]), 2);
    // Stopped before it began: nothing is cleared.
    poller.clear_codes();
    poller.stop_clearing();
    run(&mut poller, &mut ecus, 41, 20, awake);
    assert_eq!(asked(&ecus, &[0x14]), 2);
}

#[test]
fn what_an_answer_is_too_short_for_is_missing_and_counted() {
    let (mut poller, _) = Poller::new(Table::new(commands(PROFILE)).unwrap(), Duration::ZERO);
    let mut ecus = [Ecu::new(0), Ecu::new(4)];
    ecus[1].responder.data.insert(0x0101, vec![1]);
    let said = run(&mut poller, &mut ecus, 1, 10, VehicleState::Driving);
    let values = read(&poller, &said);
    assert!(!values.contains_key("first"), "{values:?}");
    assert_eq!((values["second"].0, values["third"].0), (3, 4));
    let missing = poller.missing();
    assert!((8..=11).contains(&missing), "{missing}");
    assert_eq!(poller.missing(), 0);
}
