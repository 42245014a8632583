//! One connection, rule by rule.

use std::time::Duration;

use isotp::{
    Address, Config, Frame, FunctionalAddress, IgnoredFrame, Link, Output, ReceiveError, SendError,
    StMin, SubmitError, Timeouts,
};

use crate::bus::Bus;

const START: Duration = Duration::from_secs(5);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn tester() -> Config {
    Config::new(Address::obd_11(0))
}

fn link(config: Config) -> Link {
    Link::new(config).unwrap()
}

/// A frame of the ECU.
fn from_ecu(data: &[u8]) -> Frame {
    Frame::classic(Address::obd_11(0).rx_id(), data).unwrap()
}

fn drain(link: &mut Link, now: Duration) -> Vec<Output> {
    std::iter::from_fn(|| link.poll(now)).collect()
}

/// The data of the one frame a link sends now; nothing else may happen.
fn only_frame(link: &mut Link, now: Duration) -> Vec<u8> {
    match &drain(link, now)[..] {
        [Output::Transmit(frame)] => frame.data().to_vec(),
        other => panic!("not one frame: {other:?}"),
    }
}

/// A link that has sent its first frame of a message of `len` bytes.
fn sending(config: Config, len: usize) -> Link {
    let mut link = link(config);
    link.send(START, (0..len).map(|n| n as u8).collect())
        .unwrap();
    assert_eq!(only_frame(&mut link, START)[0] >> 4, 1);
    link
}

/// A link that has received a first frame of 20 bytes and answered it.
fn receiving(config: Config) -> Link {
    let mut link = link(config);
    link.on_frame(START, &from_ecu(&[0x10, 20, 1, 2, 3, 4, 5, 6]));
    assert_eq!(drain(&mut link, START).len(), 2);
    link
}

fn failed(error: ReceiveError) -> Output {
    Output::ReceiveFailed {
        error,
        after_sent: true,
    }
}

#[test]
fn separation_time_is_kept_between_consecutive_frames_and_not_before_the_first() {
    for (raw, gap) in [
        (5, ms(5)),
        (0xF3, Duration::from_micros(300)),
        (0x80, ms(127)),
    ] {
        let mut link = sending(tester(), 30);
        link.on_frame(START, &from_ecu(&[0x30, 0, raw]));
        assert_eq!(only_frame(&mut link, START)[0], 0x21);
        assert_eq!(link.next_deadline(), Some(START + gap));
        let too_early = gap.saturating_sub(Duration::from_micros(1));
        assert_eq!(drain(&mut link, START + too_early), []);
        assert_eq!(only_frame(&mut link, START + gap)[0], 0x22);
    }
}

#[test]
fn a_block_ends_with_flow_control_whose_values_hold_for_the_next() {
    let mut link = sending(tester(), 40);
    link.on_frame(START, &from_ecu(&[0x30, 2, 0]));
    let frames = drain(&mut link, START);
    assert_eq!(frames.len(), 2);
    assert_eq!(
        link.next_deadline(),
        Some(START + ms(1000)),
        "waits for flow control"
    );
    link.on_frame(START + ms(10), &from_ecu(&[0x30, 0, 20]));
    assert_eq!(
        drain(&mut link, START + ms(19)),
        [],
        "20 ms from the last consecutive frame"
    );
    assert_eq!(only_frame(&mut link, START + ms(20))[0], 0x23);
}

#[test]
fn waiting_is_limited_in_number_and_each_wait_in_time() {
    let config = Config {
        max_wait_frames: 2,
        ..tester()
    };
    let wait = from_ecu(&[0x31, 0, 0]);
    let mut link = sending(config.clone(), 20);
    for n in 1..=2 {
        link.on_frame(START + ms(900 * n), &wait);
        assert_eq!(drain(&mut link, START + ms(900 * n)), []);
    }
    assert_eq!(link.next_deadline(), Some(START + ms(2800)));
    link.on_frame(START + ms(2700), &wait);
    assert_eq!(
        drain(&mut link, START + ms(2700)),
        [Output::SendFailed(SendError::TooManyWaits(2))]
    );

    let mut link = sending(config.clone(), 20);
    link.on_frame(START + ms(900), &wait);
    assert_eq!(
        drain(&mut link, START + ms(1900)),
        [Output::SendFailed(SendError::TimeoutBs)]
    );

    let mut link = sending(
        Config {
            max_wait_frames: 0,
            ..config
        },
        20,
    );
    link.on_frame(START, &wait);
    assert_eq!(
        drain(&mut link, START),
        [Output::SendFailed(SendError::TooManyWaits(0))]
    );
}

#[test]
fn a_sender_gives_up_on_overflow_bad_status_and_silence() {
    for (frame, error) in [
        ([0x32, 0, 0], SendError::Overflow),
        ([0x33, 0, 0], SendError::InvalidFlowStatus(3)),
    ] {
        let mut link = sending(tester(), 20);
        link.on_frame(START, &from_ecu(&frame));
        assert_eq!(drain(&mut link, START), [Output::SendFailed(error)]);
        assert_eq!((link.is_sending(), link.next_deadline()), (false, None));
    }
    let mut link = sending(tester(), 20);
    assert_eq!(drain(&mut link, START + ms(999)), []);
    assert_eq!(
        drain(&mut link, START + ms(1000)),
        [Output::SendFailed(SendError::TimeoutBs)]
    );
    link.on_frame(START + ms(1001), &from_ecu(&[0x30, 0, 0]));
    assert_eq!(
        drain(&mut link, START + ms(1001)),
        [Output::Ignored(IgnoredFrame::UnexpectedFlowControl)]
    );
}

#[test]
fn flow_control_out_of_turn_changes_nothing_but_overflow_stops() {
    let mut link = sending(tester(), 60);
    link.on_frame(START, &from_ecu(&[0x30, 0, 10]));
    assert_eq!(only_frame(&mut link, START)[0], 0x21);
    link.on_frame(START, &from_ecu(&[0x30, 1, 0]));
    assert_eq!(
        drain(&mut link, START),
        [Output::Ignored(IgnoredFrame::UnexpectedFlowControl)]
    );
    assert_eq!(only_frame(&mut link, START + ms(10))[0], 0x22);
    assert_eq!(only_frame(&mut link, START + ms(20))[0], 0x23);
    link.on_frame(START + ms(20), &from_ecu(&[0x32, 0, 0]));
    assert_eq!(
        drain(&mut link, START + ms(20)),
        [Output::SendFailed(SendError::Overflow)]
    );
}

#[test]
fn a_receiver_times_out_between_frames_only() {
    let mut link = receiving(tester());
    link.on_frame(START + ms(999), &from_ecu(&[0x21, 7, 8, 9, 10, 11, 12, 13]));
    assert_eq!(drain(&mut link, START + ms(999)), []);
    assert_eq!(link.next_deadline(), Some(START + ms(1999)));
    assert_eq!(
        drain(&mut link, START + ms(1999)),
        [failed(ReceiveError::TimeoutCr)]
    );
    link.on_frame(
        START + ms(2000),
        &from_ecu(&[0x22, 14, 15, 16, 17, 18, 19, 20]),
    );
    assert_eq!(
        drain(&mut link, START + ms(2000)),
        [Output::Ignored(IgnoredFrame::UnexpectedConsecutiveFrame)]
    );
}

#[test]
fn a_frame_that_comes_too_late_is_not_saved_by_polling_late() {
    let mut link = receiving(tester());
    link.on_frame(
        START + ms(1001),
        &from_ecu(&[0x21, 7, 8, 9, 10, 11, 12, 13]),
    );
    let ignored = Output::Ignored(IgnoredFrame::UnexpectedConsecutiveFrame);
    assert_eq!(
        drain(&mut link, START + ms(1001)),
        [failed(ReceiveError::TimeoutCr), ignored]
    );
}

#[test]
fn a_message_too_long_is_answered_with_overflow_and_takes_no_memory() {
    let mut link = link(Config {
        max_message_size: 19,
        ..tester()
    });
    for (first_frame, announced) in [
        ([0x10, 20, 1, 2, 3, 4, 5, 6], 20),
        ([0x10, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2], u32::MAX),
    ] {
        link.on_frame(START, &from_ecu(&first_frame));
        let outputs = drain(&mut link, START);
        assert_eq!(
            outputs[0],
            failed(ReceiveError::TooLong {
                announced,
                limit: 19
            })
        );
        let [Output::Transmit(frame)] = outputs[1..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(frame.data(), [0x32, 0, 0]);
        assert_eq!((link.is_receiving(), link.receive_capacity()), (false, 0));
    }
}

#[test]
fn announced_length_allocates_nothing() {
    let mut link = link(Config {
        max_message_size: u32::MAX,
        ..tester()
    });
    link.on_frame(START, &from_ecu(&[0x10, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2]));
    assert!(link.is_receiving());
    assert!(link.receive_capacity() <= 64);
}

#[test]
fn a_receiver_may_ask_to_wait() {
    let config = Config {
        wait_frames: 2,
        wait_gap: ms(300),
        block_size: 1,
        ..tester()
    };
    let other = Config {
        address: config.address.mirrored(),
        ..tester()
    };
    let mut bus = Bus::new(link(other), link(config));
    bus.ends[0].send(bus.now, vec![7; 20]).unwrap();
    bus.run();
    let statuses: Vec<_> = bus
        .sent
        .iter()
        .filter(|s| s.by == 1)
        .map(|s| s.frame.data()[0])
        .collect();
    assert_eq!(statuses, [0x31, 0x31, 0x30, 0x31, 0x31, 0x30]);
    assert_eq!((bus.received(1), bus.now), (vec![&[7; 20][..]], ms(1200)));
}

#[test]
fn frames_that_are_not_on_the_bus_hold_back_all_others() {
    let timeouts = Timeouts {
        n_a: ms(50),
        ..Timeouts::default()
    };
    let config = Config {
        confirm: true,
        timeouts,
        ..tester()
    };
    let mut link = link(config);
    link.send(START, vec![1; 20]).unwrap();
    assert_eq!(only_frame(&mut link, START)[0], 0x10);
    assert_eq!(link.next_deadline(), Some(START + ms(50)));
    // Flow control overtakes the driver's confirmation.
    link.on_frame(START + ms(1), &from_ecu(&[0x30, 0, 2]));
    assert_eq!(drain(&mut link, START + ms(1)), []);
    link.transmitted(START + ms(2));
    assert_eq!(only_frame(&mut link, START + ms(2))[0], 0x21);
    assert_eq!(drain(&mut link, START + ms(40)), []);
    link.transmitted(START + ms(40));
    assert_eq!(
        link.next_deadline(),
        Some(START + ms(42)),
        "STmin counts from the confirmation"
    );
    assert_eq!(only_frame(&mut link, START + ms(42))[0], 0x22);
    assert_eq!(
        drain(&mut link, START + ms(92)),
        [Output::SendFailed(SendError::TimeoutA)]
    );

    link.on_frame(START + ms(100), &from_ecu(&[0x10, 20, 1, 2, 3, 4, 5, 6]));
    assert_eq!(drain(&mut link, START + ms(100)).len(), 2);
    assert_eq!(
        drain(&mut link, START + ms(150)),
        [failed(ReceiveError::TimeoutA)]
    );
    assert_eq!(link.next_deadline(), None);
}

#[test]
fn both_directions_work_at_once() {
    let config = Config {
        block_size: 2,
        st_min: StMin(1),
        ..tester()
    };
    let other = Config {
        address: config.address.mirrored(),
        ..config.clone()
    };
    let mut bus = Bus::new(link(config), link(other));
    bus.ends[0].send(bus.now, vec![1; 100]).unwrap();
    bus.ends[1].send(bus.now, vec![2; 200]).unwrap();
    bus.run();
    assert_eq!(
        (bus.received(0), bus.received(1)),
        (vec![&[2; 200][..]], vec![&[1; 100][..]])
    );
}

#[test]
fn bad_requests_to_send_change_nothing() {
    let mut link = link(tester());
    assert_eq!(link.send(START, Vec::new()), Err(SubmitError::Empty));
    assert_eq!(
        (drain(&mut link, START), link.next_deadline()),
        (vec![], None)
    );
    link.send(START, vec![1]).unwrap();
    assert_eq!(link.send(START, vec![2]), Err(SubmitError::Busy));
    let frame = Frame::classic(Address::obd_11(0).tx_id(), &[1, 1]).unwrap();
    assert_eq!(
        drain(&mut link, START),
        [Output::Transmit(frame), Output::Sent]
    );
}

#[test]
fn functional_frames_are_single_and_do_not_disturb() {
    let address = Address::obd_11(0)
        .mirrored()
        .with_functional(FunctionalAddress::OBD_11);
    let mut ecu = link(Config::new(address));
    let physical = |data: &[u8]| Frame::classic(address.rx_id(), data).unwrap();
    let functional = |data: &[u8]| Frame::classic(FunctionalAddress::OBD_11.id, data).unwrap();
    ecu.on_frame(START, &physical(&[0x10, 8, 1, 2, 3, 4, 5, 6]));
    assert_eq!(drain(&mut ecu, START).len(), 2);
    assert!(ecu.on_frame(START, &functional(&[1, 0x3E])));
    assert!(ecu.on_frame(START, &functional(&[0x10, 8, 1, 2, 3, 4, 5, 6])));
    assert!(!ecu.on_frame(START, &Frame::classic(address.tx_id(), &[1, 0x3E]).unwrap()));
    ecu.on_frame(START, &physical(&[0x21, 7, 8]));
    let received = |payload: &[u8], functional| Output::Received {
        payload: payload.to_vec(),
        functional,
        after_sent: true,
    };
    let expected = [
        received(&[0x3E], true),
        Output::Ignored(IgnoredFrame::FunctionalMultiFrame),
        received(&[1, 2, 3, 4, 5, 6, 7, 8], false),
    ];
    assert_eq!(drain(&mut ecu, START), expected);
}

#[test]
fn bad_frames_are_ignored_and_the_message_goes_on() {
    let mut link = receiving(tester());
    let id = Address::obd_11(0).rx_id();
    let cases = [
        (from_ecu(&[]), IgnoredFrame::TooShort),
        (from_ecu(&[0x40, 1]), IgnoredFrame::UnknownType(4)),
        (from_ecu(&[0x00, 1]), IgnoredFrame::SingleFrameLength(0)),
        (from_ecu(&[0x03, 1, 2]), IgnoredFrame::SingleFrameLength(3)),
        (
            from_ecu(&[0x10, 20, 1, 2, 3, 4, 5]),
            IgnoredFrame::FirstFrameDataLength(7),
        ),
        (
            from_ecu(&[0x10, 6, 1, 2, 3, 4, 5, 6]),
            IgnoredFrame::FirstFrameLength(6),
        ),
        (
            from_ecu(&[0x10, 0, 0, 0, 0x0F, 0xFF, 1, 2]),
            IgnoredFrame::FirstFrameLength(0xFFF),
        ),
        (
            from_ecu(&[0x21, 1, 2, 3, 4, 5, 6]),
            IgnoredFrame::ConsecutiveFrameDataLength {
                expected: 8,
                found: 7,
            },
        ),
        (from_ecu(&[0x30, 0]), IgnoredFrame::TooShort),
        (from_ecu(&[0x30, 0, 0]), IgnoredFrame::UnexpectedFlowControl),
        (
            Frame::fd(id, &[3; 12]).unwrap(),
            IgnoredFrame::MissingEscape,
        ),
        (
            Frame::fd(id, &[0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap(),
            IgnoredFrame::SingleFrameLength(11),
        ),
    ];
    for (frame, reason) in cases {
        link.on_frame(START, &frame);
        assert_eq!(
            drain(&mut link, START),
            [Output::Ignored(reason)],
            "{frame}"
        );
    }
    link.on_frame(START, &from_ecu(&[0x21, 7, 8, 9, 10, 11, 12, 13]));
    link.on_frame(START, &from_ecu(&[0x22, 14, 15, 16, 17, 18, 19, 20]));
    let payload = (1..=20).collect();
    assert_eq!(
        drain(&mut link, START),
        [Output::Received {
            payload,
            functional: false,
            after_sent: true
        }]
    );
}

#[test]
fn a_message_that_began_before_ours_was_sent_says_so() {
    let mut link = receiving(tester());
    link.send(START, vec![0x3E, 0]).unwrap();
    assert_eq!(drain(&mut link, START).len(), 2);
    link.on_frame(START, &from_ecu(&[0x21, 7, 8, 9, 10, 11, 12, 13]));
    link.on_frame(START, &from_ecu(&[0x22, 14, 15, 16, 17, 18, 19, 20]));
    link.on_frame(START, &from_ecu(&[2, 0x7E, 0]));
    let flags: Vec<_> = drain(&mut link, START)
        .into_iter()
        .map(|output| match output {
            Output::Received {
                payload,
                after_sent,
                ..
            } => (payload.len(), after_sent),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(flags, [(20, false), (2, true)]);
}

#[test]
fn a_caller_that_does_not_poll_loses_frames_not_memory() {
    let mut link = link(tester());
    for _ in 0..10_000 {
        link.on_frame(START, &from_ecu(&[1, 0x50]));
    }
    assert_eq!(
        (drain(&mut link, START).len(), link.frames_dropped()),
        (64, 9_936)
    );
}

#[test]
fn short_messages_in_long_frames_use_the_escape() {
    let config = Config {
        min_length: Some(12),
        ..Config::fd(Address::obd_11(0), 64)
    };
    let other = Config {
        address: config.address.mirrored(),
        ..config.clone()
    };
    let mut bus = Bus::new(link(config), link(other));
    bus.ends[0].send(bus.now, vec![0x3E, 0]).unwrap();
    bus.run();
    assert_eq!(
        bus.sent[0].frame.data(),
        [
            0, 2, 0x3E, 0, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC
        ]
    );
    assert_eq!(bus.received(1), [&[0x3E, 0][..]]);
}
