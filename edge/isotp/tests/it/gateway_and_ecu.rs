//! A client and a virtual ECU from tables, end to end.

use std::time::Duration;

use isotp::responder::{Ecu, EcuOutput, Responder, Rule};
use isotp::uds::{
    Answer, AnswerError, Client, ClientError, ClientOutput, Dtc, DtcRecord, DtcStatus, Nrc,
    ReadDtc, Request, Timing,
};
use isotp::{Address, Config, FunctionalAddress, Link, StMin};

struct Bench {
    client: Client,
    ecu: Ecu,
    now: Duration,
}

impl Bench {
    fn new(responder: Responder) -> Self {
        let address = Address::obd_11(4);
        let config = Config {
            block_size: 3,
            st_min: StMin(0xF5),
            ..Config::new(address).padded(0)
        };
        let client = Client::new(Link::new(config).unwrap(), Timing::default());
        let ecu = Config::new(
            address
                .mirrored()
                .with_functional(FunctionalAddress::OBD_11),
        )
        .padded(0xAA);
        Self {
            client,
            ecu: Ecu::new(ecu, responder).unwrap(),
            now: Duration::ZERO,
        }
    }

    fn ask(&mut self, request: Request) -> Result<Answer, ClientError> {
        self.client.request(request).unwrap();
        loop {
            if let Some(output) = self.client.poll(self.now) {
                match output {
                    ClientOutput::Finished(result) => return result,
                    ClientOutput::Transmit(frame) => {
                        assert!(self.ecu.on_frame(self.now, &frame));
                    }
                    other => panic!("{other:?}"),
                }
            } else if let Some(output) = self.ecu.poll(self.now) {
                if let EcuOutput::Transmit(frame) = output {
                    assert!(self.client.on_frame(self.now, &frame));
                }
            } else {
                let deadlines = [self.client.next_deadline(), self.ecu.next_deadline()];
                let next = deadlines.into_iter().flatten().min().unwrap();
                assert!(next > self.now, "something is due after polling");
                self.now = next;
            }
        }
    }

    fn get(&mut self, request: Request) -> Answer {
        self.ask(request).unwrap()
    }
}

fn dtc(text: &str, status: u8) -> DtcRecord {
    DtcRecord {
        dtc: text.parse().unwrap(),
        status: DtcStatus(status),
    }
}

fn car() -> Responder {
    let mut car = Responder::with_vin("LGXCE4CB9P0123456".parse().unwrap());
    car.current.extend([
        (0x0C, vec![0x1A, 0xF8]),
        (0x0D, vec![50]),
        (0x5B, vec![0xC0]),
        (0xA6, vec![0, 1, 2, 3]),
    ]);
    car.data
        .extend([(0x0101, (0..62).collect()), (0xF40D, vec![50])]);
    car.local_data.insert(0x61, vec![9; 100]);
    car.freeze_frames.insert((0x0D, 0), vec![80]);
    car.dtcs = vec![
        dtc("P0A1F-00", 0x09),
        dtc("U0100-87", 0x04),
        dtc("B1234-11", 0x50),
    ];
    car.permanent_dtcs = vec!["P0A1F".parse().unwrap()];
    car.sessions.insert(3);
    car.resets.insert(1);
    car
}

#[test]
fn values_come_back_as_they_stand_in_the_tables() {
    let mut bench = Bench::new(car());
    let vin = "LGXCE4CB9P0123456".parse();
    assert_eq!(
        bench
            .get(Request::VehicleInformation { info_type: 2 })
            .vin(),
        vin.map_err(AnswerError::Vin)
    );
    assert_eq!(
        bench.get(Request::did(0xF190)).vin(),
        vin.map_err(AnswerError::Vin)
    );
    assert_eq!(
        bench.get(Request::did(0x0101)).record(),
        (0..62).collect::<Vec<u8>>()
    );
    assert_eq!(
        bench
            .get(Request::ReadDataByLocalIdentifier { id: 0x61 })
            .record(),
        [9; 100]
    );
    assert_eq!(
        bench
            .get(Request::FreezeFrame {
                pid: 0x0D,
                frame: 0
            })
            .record(),
        [80]
    );
    assert_eq!(
        bench
            .get(Request::TesterPresent { suppress: false })
            .record(),
        [0u8; 0]
    );
    let session = bench
        .get(Request::DiagnosticSessionControl {
            session: 3,
            suppress: false,
        })
        .session_timing()
        .unwrap();
    assert_eq!(
        (session.p2_server, session.p2_star_server),
        (Duration::from_millis(50), Duration::from_secs(5))
    );
    assert_eq!(
        bench
            .get(Request::EcuReset {
                kind: 1,
                suppress: false
            })
            .record(),
        [0u8; 0]
    );
}

#[test]
fn several_identifiers_are_taken_apart_by_their_lengths() {
    let mut bench = Bench::new(car());
    let answer = bench.get(Request::ReadDataByIdentifier {
        ids: vec![0xF40D, 0x9999, 0xF190],
    });
    let values = answer
        .data_identifiers(&[(0xF190, 17), (0xF40D, 1)])
        .unwrap();
    assert_eq!(
        values,
        [(0xF40D, &[50][..]), (0xF190, b"LGXCE4CB9P0123456")]
    );
    assert_eq!(
        answer.data_identifiers(&[(0xF40D, 1)]),
        Err(AnswerError::UnknownLength(0xF190))
    );
    let shifted = answer.data_identifiers(&[(0xF190, 17), (0xF40D, 2)]);
    assert_eq!(shifted, Err(AnswerError::NotRequested(0x904C)));
    let twice = [&[0x62][..], &[0xF4, 0x0D, 50], &[0xF4, 0x0D, 51]].concat();
    let twice = Answer::new(answer.request().clone(), twice).unwrap();
    let repeated = twice.data_identifiers(&[(0xF40D, 1)]);
    assert_eq!(repeated, Err(AnswerError::Repeated(0xF40D)));
    let long = answer.data_identifiers(&[(0xF190, 18), (0xF40D, 1)]);
    assert_eq!(
        long,
        Err(AnswerError::Length {
            what: "data identifiers",
            found: 17
        })
    );

    let answer = bench.get(Request::CurrentData {
        pids: vec![0x5B, 0x0C, 0x42],
    });
    assert_eq!(
        answer.pids().unwrap(),
        [(0x5B, &[0xC0][..]), (0x0C, &[0x1A, 0xF8])]
    );
    let single = bench.get(Request::did(0x0101));
    assert_eq!(single.data_identifiers(&[]).unwrap()[0].1.len(), 62);
    assert_eq!(
        single.data_identifiers(&[(0x0101, 61)]),
        Err(AnswerError::Length {
            what: "data identifiers",
            found: 62
        })
    );
    assert_eq!(single.vin(), Err(AnswerError::OtherRequest("the VIN")));
}

#[test]
fn bitmaps_lead_to_all_supported_pids() {
    let mut bench = Bench::new(car());
    let mut found = Vec::new();
    let mut next = Some(0);
    while let Some(base) = next {
        let map = bench.get(Request::pid(base)).supported().unwrap();
        found.extend(map.iter());
        next = map.next();
    }
    assert_eq!(
        found,
        [0x0C, 0x0D, 0x20, 0x40, 0x5B, 0x60, 0x80, 0xA0, 0xA6]
    );
    let map = bench
        .get(Request::VehicleInformation { info_type: 0 })
        .supported()
        .unwrap();
    assert_eq!(map.iter().collect::<Vec<_>>(), [2]);
    assert_eq!(
        bench.ask(Request::pid(0xC0)),
        Err(ClientError::Negative(Nrc::RequestOutOfRange))
    );
}

#[test]
fn trouble_codes_are_listed_counted_and_cleared() {
    let mut bench = Bench::new(car());
    let text = |dtcs: Vec<Dtc>| dtcs.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        text(bench.get(Request::StoredDtcs).obd_dtcs().unwrap()),
        ["P0A1F"]
    );
    assert_eq!(
        text(bench.get(Request::PendingDtcs).obd_dtcs().unwrap()),
        ["U0100"]
    );
    assert_eq!(
        text(bench.get(Request::PermanentDtcs).obd_dtcs().unwrap()),
        ["P0A1F"]
    );
    let read = |read| Request::ReadDtcInformation(read);
    let report = bench
        .get(read(ReadDtc::ByStatusMask(0x0D)))
        .dtc_report()
        .unwrap();
    assert_eq!(
        report.records,
        [dtc("P0A1F-00", 0x09), dtc("U0100-87", 0x04)]
    );
    assert_eq!(
        bench
            .get(read(ReadDtc::Supported))
            .dtc_report()
            .unwrap()
            .records
            .len(),
        3
    );
    let count = bench
        .get(read(ReadDtc::CountByStatusMask(0x01)))
        .dtc_count()
        .unwrap();
    assert_eq!(
        (count.count, count.availability, count.format),
        (1, DtcStatus(0xFF), 1)
    );
    let code: Dtc = "U0100-87".parse().unwrap();
    let (record, rest) = (dtc("U0100-87", 0x04), Vec::<u8>::new());
    for request in [
        ReadDtc::Snapshot {
            dtc: code,
            record: 0xFF,
        },
        ReadDtc::ExtendedData {
            dtc: code,
            record: 0xFF,
        },
    ] {
        assert_eq!(
            bench.get(read(request)).dtc_detail(),
            Ok((record, &rest[..]))
        );
    }
    let unknown = Request::ClearDiagnosticInformation { group: 0x12_3456 };
    assert_eq!(
        bench.ask(unknown),
        Err(ClientError::Negative(Nrc::RequestOutOfRange))
    );
    bench.get(Request::ClearDiagnosticInformation { group: 0xFF_FFFF });
    assert_eq!(
        bench
            .get(read(ReadDtc::ByStatusMask(0xFF)))
            .dtc_report()
            .unwrap()
            .records,
        []
    );
}

#[test]
fn refusals_and_delays_follow_the_rules() {
    let mut car = car();
    car.verbatim
        .insert(vec![0x31, 1, 2, 3], vec![0x71, 1, 2, 3, 0]);
    car.data.insert(0x0202, vec![0; 4093]);
    let rule = |prefix: &[u8]| Rule {
        prefix: prefix.to_vec(),
        ..Rule::default()
    };
    car.rules = vec![
        Rule {
            pending: 3,
            delay: Duration::from_millis(140),
            ..rule(&[0x22, 0xF1])
        },
        Rule {
            refuse: Some(Nrc::BusyRepeatRequest),
            ..rule(&[0x21])
        },
        Rule {
            silent: true,
            ..rule(&[0x03])
        },
    ];
    let mut bench = Bench::new(car);
    let negative = |code| Err(ClientError::Negative(code));
    assert_eq!(bench.get(Request::did(0xF190)).record().len(), 17);
    assert_eq!(
        bench.ask(Request::ReadDataByLocalIdentifier { id: 0x61 }),
        negative(Nrc::BusyRepeatRequest)
    );
    assert_eq!(bench.ask(Request::StoredDtcs), Err(ClientError::Timeout));
    assert_eq!(
        bench.ask(Request::did(0x0202)),
        negative(Nrc::ResponseTooLong)
    );
    assert_eq!(
        bench.ask(Request::DiagnosticSessionControl {
            session: 2,
            suppress: false
        }),
        negative(Nrc::SubFunctionNotSupported)
    );
    assert_eq!(
        bench.ask(Request::Other {
            payload: vec![0x31, 9],
            echo: 1
        }),
        negative(Nrc::ServiceNotSupported)
    );
    let routine = bench.get(Request::Other {
        payload: vec![0x31, 1, 2, 3],
        echo: 3,
    });
    assert_eq!(routine.record(), [0]);
    bench.ecu.responder.rules[0].delay = Duration::from_secs(3);
    assert_eq!(bench.ask(Request::did(0xF190)), Err(ClientError::Timeout));
}

#[test]
fn functional_requests_that_do_not_apply_are_met_with_silence() {
    let mut car = car();
    assert_eq!(
        car.respond(&[0x22, 0x99, 0x99], false)[0].payload,
        [0x7F, 0x22, 0x31]
    );
    assert_eq!(car.respond(&[0x22, 0x99, 0x99], true), []);
    assert_eq!(
        car.respond(&[0x22, 0x99], true)[0].payload,
        [0x7F, 0x22, 0x13]
    );
    assert_eq!(car.respond(&[0x3E, 0x80], false), []);
    assert_eq!(car.respond(&[], false), []);
}
