//! A client and an ECU that misbehaves: no answer is taken for another.

use std::time::Duration;

use isotp::uds::{
    AskError, Client, ClientError, ClientOutput, Nrc, ReadDtc, Request, RequestError,
    SessionTiming, Timing, Verdict,
};
use isotp::{Address, Config, Frame, Link, ReceiveError, SendError};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

struct Bench {
    client: Client,
    sent: Vec<Vec<u8>>,
    finished: Vec<Result<Vec<u8>, ClientError>>,
    stray: Vec<Vec<u8>>,
    suppressed: usize,
}

impl Bench {
    fn new() -> Self {
        let link = Link::new(Config::new(Address::obd_11(0))).unwrap();
        let client = Client::new(link, Timing::default());
        Self {
            client,
            sent: Vec::new(),
            finished: Vec::new(),
            stray: Vec::new(),
            suppressed: 0,
        }
    }

    fn at(&mut self, now: u64) {
        while let Some(output) = self.client.poll(ms(now)) {
            match output {
                ClientOutput::Transmit(frame) => self.sent.push(frame.data().to_vec()),
                ClientOutput::Finished(result) => self
                    .finished
                    .push(result.map(|answer| answer.record().to_vec())),
                ClientOutput::Sent => self.suppressed += 1,
                ClientOutput::Stray(payload) => self.stray.push(payload),
            }
        }
    }

    fn ask(&mut self, now: u64, request: Request) {
        self.client.request(request).unwrap();
        self.at(now);
    }

    fn frame(&mut self, now: u64, data: &[u8]) {
        let frame = Frame::classic(Address::obd_11(0).rx_id(), data).unwrap();
        assert!(self.client.on_frame(ms(now), &frame));
        self.at(now);
    }

    /// A message of one frame.
    fn hear(&mut self, now: u64, payload: &[u8]) {
        self.frame(now, &[&[payload.len() as u8], payload].concat());
    }

    fn last(&self) -> Option<&Result<Vec<u8>, ClientError>> {
        self.finished.last()
    }
}

#[test]
fn only_the_answer_to_this_request_counts() {
    let mut bench = Bench::new();
    bench.ask(0, Request::did(0x0101));
    for foreign in [
        &[0x62, 0x01, 0x02, 9][..],
        &[0x61, 0x01, 9],
        &[0x7F, 0x19, 0x11],
        &[0x62, 0x01],
        &[0x22, 0x01, 0x01],
    ] {
        bench.hear(1, foreign);
    }
    assert_eq!((bench.finished.len(), bench.stray.len()), (0, 5));
    bench.hear(2, &[0x62, 0x01, 0x01, 7]);
    assert_eq!(bench.last(), Some(&Ok(vec![7])));
    bench.hear(3, &[0x62, 0x01, 0x01, 8]);
    assert_eq!((bench.finished.len(), bench.stray.len()), (1, 5));
}

#[test]
fn each_service_repeats_what_was_asked() {
    let dtc = "P0A1F-00".parse().unwrap();
    let read = Request::ReadDtcInformation;
    let cases: [(Request, &[u8], &[u8]); 12] = [
        (Request::pid(0x0D), &[0x41, 0x0D, 50], &[0x41, 0x0C, 50]),
        (
            Request::FreezeFrame {
                pid: 0x0D,
                frame: 1,
            },
            &[0x42, 0x0D, 1, 50],
            &[0x42, 0x0D, 0, 50],
        ),
        (
            Request::VehicleInformation { info_type: 2 },
            &[0x49, 2, 1],
            &[0x49, 4, 1],
        ),
        (
            Request::DiagnosticSessionControl {
                session: 3,
                suppress: false,
            },
            &[0x50, 3],
            &[0x50, 1],
        ),
        (
            Request::EcuReset {
                kind: 1,
                suppress: false,
            },
            &[0x51, 1],
            &[0x51, 2],
        ),
        (
            Request::ClearDiagnosticInformation { group: 0xFF_FFFF },
            &[0x54],
            &[0x54, 0],
        ),
        (
            read(ReadDtc::ByStatusMask(0xFF)),
            &[0x59, 2, 0xFF],
            &[0x59, 0x0A, 0xFF],
        ),
        (
            read(ReadDtc::Snapshot { dtc, record: 1 }),
            &[0x59, 4, 0x0A, 0x1F, 0, 9],
            &[0x59, 4, 0x0A, 0x1F, 1, 9],
        ),
        (
            read(ReadDtc::ExtendedData { dtc, record: 1 }),
            &[0x59, 6, 0x0A, 0x1F, 0, 9],
            &[0x59, 4, 0x0A, 0x1F, 0, 9],
        ),
        (
            Request::ReadDataByLocalIdentifier { id: 1 },
            &[0x61, 1, 5],
            &[0x61, 2, 5],
        ),
        (
            Request::did(0xF190),
            &[0x62, 0xF1, 0x90, 5],
            &[0x62, 0xF1, 0x91, 5],
        ),
        (
            Request::SecurityAccess {
                sub_function: 1,
                data: vec![],
            },
            &[0x67, 1, 5],
            &[0x67, 2, 5],
        ),
    ];
    for (request, right, wrong) in cases {
        assert_eq!(request.judge(right), Verdict::Positive, "{request:?}");
        assert_eq!(request.judge(wrong), Verdict::Foreign, "{request:?}");
        assert_eq!(
            request.judge(&[0x7F, request.service(), 0x78]),
            Verdict::Pending
        );
        assert_eq!(request.judge(&[0x7F, request.service()]), Verdict::Foreign);
    }
}

#[test]
fn a_late_answer_does_not_meet_the_same_request_asked_again() {
    let mut bench = Bench::new();
    bench.ask(0, Request::did(0x0101));
    bench.at(150);
    assert_eq!(bench.last(), Some(&Err(ClientError::Timeout)));
    bench.ask(151, Request::did(0x0101));
    assert_eq!(
        (bench.sent.len(), bench.client.next_deadline()),
        (1, Some(ms(500)))
    );
    bench.hear(300, &[0x62, 0x01, 0x01, 1]);
    assert_eq!(bench.stray, [vec![0x62, 0x01, 0x01, 1]]);
    assert_eq!(
        bench.sent.len(),
        2,
        "nothing is owed any more: sent at once"
    );
    bench.hear(310, &[0x62, 0x01, 0x01, 2]);
    assert_eq!(bench.last(), Some(&Ok(vec![2])));
}

#[test]
fn a_late_refusal_does_not_meet_another_request_of_the_service() {
    let mut bench = Bench::new();
    bench.ask(0, Request::did(0x0101));
    bench.at(150);
    bench.ask(151, Request::did(0x0202));
    bench.hear(400, &[0x7F, 0x22, 0x31]);
    bench.hear(401, &[0x62, 0x02, 0x02, 5]);
    assert_eq!(bench.finished, [Err(ClientError::Timeout), Ok(vec![5])]);
}

#[test]
fn a_late_answer_of_many_frames_is_not_finished_into_the_next_request() {
    let mut bench = Bench::new();
    bench.ask(0, Request::did(0x0101));
    bench.at(150);
    bench.ask(151, Request::did(0x0101));
    bench.frame(499, &[0x10, 9, 0x62, 0x01, 0x01, 1, 1, 1]);
    bench.at(500);
    assert_eq!(bench.sent.len(), 3, "request, flow control, request");
    bench.frame(501, &[0x21, 1, 1, 1]);
    assert_eq!((bench.finished.len(), bench.stray.len()), (1, 1));
    bench.hear(502, &[0x62, 0x01, 0x01, 2]);
    assert_eq!(bench.last(), Some(&Ok(vec![2])));
}

#[test]
fn an_answer_before_its_request_is_none() {
    let mut bench = Bench::new();
    bench.hear(0, &[0x62, 0x01, 0x01, 1]);
    bench.client.request(Request::did(0x0101)).unwrap();
    let early = Frame::classic(Address::obd_11(0).rx_id(), &[4, 0x62, 0x01, 0x01, 1]).unwrap();
    bench.client.on_frame(ms(1), &early);
    bench.at(1);
    assert_eq!(
        (bench.stray.len(), bench.finished.len(), bench.sent.len()),
        (1, 0, 1)
    );
}

#[test]
fn another_testers_conversation_is_not_disturbed() {
    let mut bench = Bench::new();
    bench.frame(0, &[0x10, 20, 0x62, 0xF1, 0x90, 1, 2, 3]);
    bench.ask(10, Request::StoredDtcs);
    bench.hear(20, &[0x43, 0]);
    bench.frame(30, &[0x10, 20, 0x62, 0xF1, 0x90, 1, 2, 3]);
    bench.frame(31, &[0x21, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(
        (bench.sent.len(), bench.stray.len()),
        (1, 0),
        "no flow control of ours"
    );
    assert_eq!(bench.client.next_deadline(), None);
}

#[test]
fn response_pending_gives_time_a_limited_number_of_times() {
    let mut bench = Bench::new();
    bench.ask(0, Request::StoredDtcs);
    bench.hear(100, &[0x7F, 0x03, 0x78]);
    bench.hear(5100, &[0x7F, 0x03, 0x78]);
    assert_eq!(bench.client.next_deadline(), Some(ms(10_200)));
    bench.hear(10_100, &[0x43, 0]);
    assert_eq!(bench.last(), Some(&Ok(vec![0])));

    bench.ask(20_000, Request::StoredDtcs);
    for n in 1..=11 {
        bench.hear(20_000 + n, &[0x7F, 0x03, 0x78]);
    }
    assert_eq!(bench.last(), Some(&Err(ClientError::TooManyPending(10))));

    // What it promised may still come, as late as promised.
    bench.ask(20_100, Request::PendingDtcs);
    bench.ask_is_waiting_until(25_111);
    bench.hear(21_000, &[0x43, 0]);
    bench.hear(21_001, &[0x47, 0]);
    assert_eq!(bench.last(), Some(&Ok(vec![0])));
}

impl Bench {
    fn ask_is_waiting_until(&self, until: u64) {
        assert_eq!(self.client.next_deadline(), Some(ms(until)));
    }
}

#[test]
fn silence_after_response_pending_is_a_timeout() {
    let mut bench = Bench::new();
    bench.ask(0, Request::StoredDtcs);
    bench.hear(100, &[0x7F, 0x03, 0x78]);
    bench.at(5199);
    assert_eq!(bench.last(), None);
    bench.at(5200);
    assert_eq!(bench.last(), Some(&Err(ClientError::Timeout)));
}

#[test]
fn an_answer_that_began_in_time_may_take_longer() {
    let mut bench = Bench::new();
    bench.ask(0, Request::did(0xF190));
    bench.frame(149, &[0x10, 20, 0x62, 0xF1, 0x90, 1, 2, 3]);
    bench.frame(900, &[0x21, 4, 5, 6, 7, 8, 9, 10]);
    bench.frame(1800, &[0x22, 11, 12, 13, 14, 15, 16, 17]);
    assert_eq!(bench.last(), Some(&Ok((1..=17).collect())));

    bench.ask(2000, Request::did(0xF190));
    bench.frame(2100, &[0x10, 20, 0x62, 0xF1, 0x90, 1, 2, 3]);
    bench.frame(2101, &[0x22, 4, 5, 6, 7, 8, 9, 10]);
    let error = ReceiveError::WrongSequenceNumber {
        expected: 1,
        found: 2,
    };
    assert_eq!(bench.last(), Some(&Err(ClientError::Receive(error))));
}

#[test]
fn refusals_carry_their_code_and_requests_their_own_errors() {
    let mut bench = Bench::new();
    bench.ask(0, Request::did(0x0101));
    assert_eq!(
        bench.client.request(Request::StoredDtcs),
        Err(AskError::Busy)
    );
    bench.hear(10, &[0x7F, 0x22, 0x31]);
    assert_eq!(
        bench.last(),
        Some(&Err(ClientError::Negative(Nrc::RequestOutOfRange)))
    );

    let refused = |request, error: RequestError| {
        let link = Link::new(Config::new(Address::obd_11(0))).unwrap();
        let mut client = Client::new(link, Timing::default());
        assert_eq!(client.request(request), Err(AskError::Request(error)));
        assert!(client.is_idle());
    };
    refused(Request::CurrentData { pids: vec![] }, RequestError::Pids(0));
    refused(
        Request::CurrentData { pids: vec![4; 7] },
        RequestError::Pids(7),
    );
    refused(
        Request::CurrentData { pids: vec![4, 4] },
        RequestError::Repeated(4),
    );
    refused(
        Request::CurrentData {
            pids: vec![4, 0x20],
        },
        RequestError::MixedBitmap(0x20),
    );
    refused(
        Request::ReadDataByIdentifier { ids: vec![] },
        RequestError::NoIdentifier,
    );
    refused(
        Request::EcuReset {
            kind: 0x81,
            suppress: false,
        },
        RequestError::SubFunction(0x81),
    );
    refused(
        Request::ClearDiagnosticInformation { group: 1 << 24 },
        RequestError::Group(1 << 24),
    );
    refused(
        Request::Other {
            payload: vec![],
            echo: 0,
        },
        RequestError::Other { echo: 0 },
    );
    refused(
        Request::Other {
            payload: vec![0x31, 1],
            echo: 2,
        },
        RequestError::Other { echo: 2 },
    );
}

#[test]
fn a_suppressed_answer_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.ask(0, Request::TesterPresent { suppress: true });
    assert_eq!(
        (
            bench.suppressed,
            bench.sent[0].clone(),
            bench.client.is_idle()
        ),
        (1, vec![2, 0x3E, 0x80], true)
    );
}

#[test]
fn a_request_that_does_not_get_through_says_so() {
    let mut bench = Bench::new();
    let ids = (0..10).collect();
    bench.ask(0, Request::ReadDataByIdentifier { ids });
    bench.at(1000);
    assert_eq!(
        bench.last(),
        Some(&Err(ClientError::Send(SendError::TimeoutBs)))
    );
}

#[test]
fn the_session_changes_the_times() {
    let session = SessionTiming {
        p2_server: ms(25),
        p2_star_server: ms(2000),
    };
    let timing = Timing::default().with_session(session, ms(20));
    assert_eq!((timing.p2, timing.p2_star), (ms(45), ms(2020)));
    let mut bench = Bench::new();
    bench.client.set_timing(timing);
    bench.ask(0, Request::StoredDtcs);
    assert_eq!(bench.client.next_deadline(), Some(ms(45)));
}
