//! Functional requests: several ECUs answer at once.

use std::collections::BTreeMap;
use std::time::Duration;

use isotp::responder::{Ecu, EcuOutput, Responder, Rule};
use isotp::uds::{AskError, ClientError, Group, GroupOutput, Nrc, Request, Responders, Timing};
use isotp::{Address, CanId, Config, Frame, FunctionalAddress};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A group and some ECUs on one bus, all frames seen by all.
struct Bench {
    group: Group,
    ecus: Vec<Ecu>,
    now: Duration,
    frames: Vec<Frame>,
    answers: BTreeMap<CanId, Vec<Result<Vec<u8>, ClientError>>>,
    stray: usize,
    finished: usize,
}

impl Bench {
    fn new(group: Group, ecus: Vec<Ecu>) -> Self {
        Self {
            group,
            ecus,
            now: Duration::ZERO,
            frames: Vec::new(),
            answers: BTreeMap::new(),
            stray: 0,
            finished: 0,
        }
    }

    /// Until the request has finished.
    fn ask(&mut self, request: Request) {
        self.answers.clear();
        let before = self.finished;
        self.group.request(request).unwrap();
        while self.finished == before {
            while self.step() {}
            let deadlines = self
                .ecus
                .iter()
                .filter_map(Ecu::next_deadline)
                .chain(self.group.next_deadline());
            let next = deadlines.min();
            if self.finished == before {
                let next = next.expect("the group has not finished, but waits for nothing");
                assert!(next > self.now, "something is due after polling");
                self.now = next;
            }
        }
    }

    fn step(&mut self) -> bool {
        if let Some(output) = self.group.poll(self.now) {
            match output {
                GroupOutput::Transmit(frame) => self.spread(frame),
                GroupOutput::Answered { from, result } => {
                    self.answers
                        .entry(from)
                        .or_default()
                        .push(result.map(|answer| answer.payload().to_vec()));
                }
                GroupOutput::Stray { .. } => self.stray += 1,
                GroupOutput::Finished => self.finished += 1,
            }
            return true;
        }
        let output = self.ecus.iter_mut().find_map(|ecu| ecu.poll(self.now));
        if let Some(EcuOutput::Transmit(frame)) = output {
            self.spread(frame);
        }
        output.is_some()
    }

    fn spread(&mut self, frame: Frame) {
        self.frames.push(frame);
        self.group.on_frame(self.now, &frame);
        for ecu in &mut self.ecus {
            ecu.on_frame(self.now, &frame);
        }
    }

    /// The identifiers that carried flow control, and how often.
    fn flow_control(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for frame in self.frames.iter().filter(|frame| frame.data()[0] >> 4 == 3) {
            *counts.entry(frame.id().to_string()).or_default() += 1;
        }
        counts
    }
}

fn ecu(address: Address, functional: FunctionalAddress, responder: Responder) -> Ecu {
    Ecu::new(
        Config::new(address.mirrored().with_functional(functional)).padded(0xAA),
        responder,
    )
    .unwrap()
}

fn vin(n: u8) -> Responder {
    Responder::with_vin(format!("LGXCE4CB9P012345{n}").parse().unwrap())
}

#[test]
fn answers_of_many_frames_come_from_each_ecu_with_flow_control_to_it_alone() {
    let ecus = (0..8)
        .map(|n| ecu(Address::obd_11(n), FunctionalAddress::OBD_11, vin(n)))
        .collect();
    let mut bench = Bench::new(Group::obd_11(Timing::default()), ecus);
    bench.ask(Request::VehicleInformation { info_type: 2 });
    assert_eq!(bench.answers.len(), 8);
    for (n, (id, results)) in bench.answers.iter().enumerate() {
        assert_eq!(id.raw() as usize, 0x7E8 + n);
        let [Ok(payload)] = &results[..] else {
            panic!("{results:?}")
        };
        assert_eq!(payload[..3], [0x49, 2, 1]);
        assert_eq!(payload[3..], *format!("LGXCE4CB9P012345{n}").as_bytes());
    }
    let expected = (0..8).map(|n| (format!("7E{n}"), 1)).collect();
    assert_eq!(bench.flow_control(), expected);
    assert_eq!(bench.frames[0].to_string(), "7DF#0209020000000000");
}

#[test]
fn twenty_nine_bit_addresses_answer_crosswise() {
    let addresses = [0x10, 0x7E, 0xF0];
    let ecus = addresses
        .map(|a| ecu(Address::obd_29(a), FunctionalAddress::OBD_29, vin(a & 7)))
        .into();
    let mut bench = Bench::new(Group::obd_29(Timing::default()), ecus);
    bench.ask(Request::VehicleInformation { info_type: 2 });
    let from: Vec<_> = bench.answers.keys().map(ToString::to_string).collect();
    assert_eq!(from, ["18DAF110", "18DAF17E", "18DAF1F0"]);
    let to: Vec<_> = bench.flow_control().into_keys().collect();
    assert_eq!(to, ["18DA10F1", "18DA7EF1", "18DAF0F1"]);
    assert_eq!(bench.frames[0].id().to_string(), "18DB33F1");
}

#[test]
fn slow_refusing_and_silent_ecus_do_not_hold_up_or_mix_with_the_others() {
    let with_rule = |n: u8, rule: Rule| {
        let mut responder = vin(n);
        responder.rules.push(rule);
        ecu(Address::obd_11(n), FunctionalAddress::OBD_11, responder)
    };
    let refuse = |code| Rule {
        refuse: Some(code),
        ..Rule::default()
    };
    let ecus = vec![
        ecu(Address::obd_11(0), FunctionalAddress::OBD_11, vin(0)),
        with_rule(
            1,
            Rule {
                pending: 2,
                delay: ms(40),
                ..Rule::default()
            },
        ),
        with_rule(
            2,
            Rule {
                pending: 1,
                silent: true,
                ..Rule::default()
            },
        ),
        with_rule(3, refuse(Nrc::ConditionsNotCorrect)),
        with_rule(4, refuse(Nrc::ServiceNotSupported)),
        with_rule(
            5,
            Rule {
                silent: true,
                ..Rule::default()
            },
        ),
        with_rule(
            6,
            Rule {
                pending: 11,
                ..Rule::default()
            },
        ),
    ];
    let mut bench = Bench::new(Group::obd_11(Timing::default()), ecus);
    for _ in 0..2 {
        bench.ask(Request::VehicleInformation { info_type: 2 });
        let results: Vec<_> = bench
            .answers
            .iter()
            .map(|(id, results)| (id.raw(), results.len(), results[0].clone().map(|p| p[19])))
            .collect();
        let expected = [
            (0x7E8, 1, Ok(b'0')),
            (0x7E9, 1, Ok(b'1')),
            (0x7EA, 1, Err(ClientError::Timeout)),
            (
                0x7EB,
                1,
                Err(ClientError::Negative(Nrc::ConditionsNotCorrect)),
            ),
            (0x7EE, 1, Err(ClientError::TooManyPending(10))),
        ];
        assert_eq!(results, expected);
    }
}

#[test]
fn late_answers_meet_nobody() {
    let mut slow = vin(0);
    slow.rules.push(Rule {
        delay: ms(300),
        ..Rule::default()
    });
    slow.current.insert(0x0D, vec![50]);
    let mut bench = Bench::new(
        Group::obd_11(Timing::default()),
        vec![ecu(Address::obd_11(0), FunctionalAddress::OBD_11, slow)],
    );
    for _ in 0..3 {
        bench.ask(Request::pid(0x0D));
        assert!(bench.answers.is_empty());
    }
    assert_eq!(bench.stray, 2, "the answers to the first two");
}

/// Everything a group wants and tells at one time.
fn drain(group: &mut Group, now: u64) -> Vec<GroupOutput> {
    std::iter::from_fn(|| group.poll(ms(now))).collect()
}

fn hear(group: &mut Group, now: u64, data: &[u8]) -> Vec<GroupOutput> {
    let frame = Frame::classic(Address::obd_11(0).rx_id(), data).unwrap();
    assert!(group.on_frame(ms(now), &frame));
    drain(group, now)
}

#[test]
fn a_late_answer_of_many_frames_is_not_finished_into_the_next_request() {
    let mut group = Group::obd_11(Timing::default());
    group.request(Request::pid(0x0D)).unwrap();
    assert_eq!(drain(&mut group, 0).len(), 1);
    assert_eq!(drain(&mut group, 150), [GroupOutput::Finished]);
    group.request(Request::pid(0x0D)).unwrap();
    assert_eq!(
        hear(&mut group, 499, &[0x10, 8, 0x41, 0x0D, 1, 1, 1, 1]).len(),
        1
    );
    assert_eq!(drain(&mut group, 500).len(), 1, "the request");
    let rest = hear(&mut group, 501, &[0x21, 1, 1]);
    assert!(matches!(rest[..], [GroupOutput::Stray { .. }]), "{rest:?}");
    let answer = hear(&mut group, 502, &[3, 0x41, 0x0D, 2]);
    let [
        GroupOutput::Answered {
            result: Ok(answer), ..
        },
    ] = &answer[..]
    else {
        panic!("{answer:?}")
    };
    assert_eq!(answer.record(), [2]);
}

#[test]
fn an_ecu_that_goes_on_talking_does_not_hold_up_the_end() {
    let mut group = Group::obd_11(Timing::default());
    group.request(Request::pid(0x0D)).unwrap();
    drain(&mut group, 0);
    assert_eq!(hear(&mut group, 10, &[3, 0x41, 0x0D, 2]).len(), 1);
    assert_eq!(
        hear(&mut group, 140, &[0x10, 8, 0x41, 0x0D, 1, 1, 1, 1]).len(),
        1
    );
    assert_eq!(group.next_deadline(), Some(ms(150)));
    assert_eq!(drain(&mut group, 150), [GroupOutput::Finished]);
}

#[test]
fn another_testers_conversation_is_not_disturbed() {
    let mut group = Group::obd_11(Timing::default());
    let first_frame = [0x10, 8, 0x41, 0x0D, 1, 1, 1, 1];
    assert_eq!(hear(&mut group, 0, &first_frame), []);
    group.request(Request::pid(0x0D)).unwrap();
    assert_eq!(drain(&mut group, 10).len(), 1);
    assert_eq!(hear(&mut group, 20, &[3, 0x41, 0x0D, 1]).len(), 1);
    assert_eq!(drain(&mut group, 160), [GroupOutput::Finished]);
    assert_eq!(hear(&mut group, 170, &first_frame), []);
}

#[test]
fn an_answer_that_began_in_time_is_waited_for() {
    let mut group = Group::obd_11(Timing::default());
    group
        .request(Request::VehicleInformation { info_type: 4 })
        .unwrap();
    drain(&mut group, 0);
    assert_eq!(
        hear(&mut group, 140, &[0x10, 9, 0x49, 4, 1, 1, 1, 1]).len(),
        1
    );
    assert_eq!(drain(&mut group, 900), []);
    assert_eq!(
        hear(&mut group, 901, &[0x21, 1, 1, 1]).len(),
        2,
        "the answer, and the end"
    );
    assert!(group.is_idle());
}

#[test]
fn requests_of_more_than_one_frame_are_refused() {
    let mut group = Group::obd_11(Timing::default());
    let ids = vec![1, 2, 3, 4];
    assert_eq!(
        group.request(Request::ReadDataByIdentifier { ids }),
        Err(AskError::TooLong { len: 9, limit: 7 })
    );
    group
        .request(Request::TesterPresent { suppress: true })
        .unwrap();
    assert_eq!(group.request(Request::StoredDtcs), Err(AskError::Busy));
    assert!(matches!(group.poll(ms(0)), Some(GroupOutput::Transmit(_))));
    assert_eq!(
        (group.poll(ms(0)), group.poll(ms(0)), group.is_idle()),
        (Some(GroupOutput::Finished), None, true)
    );
}

#[test]
fn responders_know_where_flow_control_goes() {
    let id = |text: &str| text.parse::<CanId>().unwrap();
    let tx = |responders: &Responders, rx: &str| {
        responders
            .address(id(rx))
            .map(|address| address.tx_id().to_string())
    };
    assert_eq!(tx(&Responders::Obd11, "7E8").as_deref(), Some("7E0"));
    assert_eq!(tx(&Responders::Obd11, "7E7"), None);
    assert_eq!(tx(&Responders::Obd11, "000007E8"), None);
    assert_eq!(
        tx(&Responders::Obd29, "18DAF133").as_deref(),
        Some("18DA33F1")
    );
    assert_eq!(tx(&Responders::Obd29, "18DA33F1"), None);
    let wide = Responders::Offset {
        first: 0x708,
        last: 0x7FF,
        offset: 8,
    };
    assert_eq!(tx(&wide, "7BB").as_deref(), Some("7B3"));
    let listed = Responders::Listed(vec![Address::normal(id("797"), id("79A"))]);
    assert_eq!(
        (tx(&listed, "79A").as_deref(), tx(&listed, "79B")),
        (Some("797"), None)
    );
}
