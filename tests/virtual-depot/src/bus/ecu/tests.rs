use isotp::{
    Address, CanId,
    uds::{Answer, Client, ClientError, ClientOutput, Group, GroupOutput, Request, Timing},
};

use super::*;
use crate::{bus::model::Model, faults::Rates};

const FIRST_COLUMN: u32 = 1000;

struct Bench {
    model: Model,
    car: Car,
    ecus: Vec<Ecu>,
    faults: Faults,
    now: Duration,
}

/// What came out of a request: the answer, what the truth holds, and whether the ECU first asked for time.
struct Asked {
    result: Result<Answer, ClientError>,
    samples: Vec<Sample>,
    withheld: Vec<Sample>,
    frames: usize,
}

impl Bench {
    fn new() -> Self {
        let model = Model::shipped().unwrap();
        let car = Car::new(3, "car-01", 0.62);
        let ecu = |ecu| Ecu::new(ecu, "car-01", &car.vin, FIRST_COLUMN, 3).unwrap();
        Self {
            ecus: model.ecus.iter().map(ecu).collect(),
            model,
            car,
            faults: Faults::new(3, Rates::default()),
            now: Duration::ZERO,
        }
    }

    fn ask(&mut self, address: Address, request: Request) -> Asked {
        let link = Link::new(Config::new(address).padded(0)).unwrap();
        let mut client = Client::new(link, Timing::default());
        client.request(request).unwrap();
        let (mut samples, mut withheld, mut frames) = (Vec::new(), Vec::new(), 0);
        loop {
            while let Some(output) = client.poll(self.now) {
                match output {
                    ClientOutput::Transmit(frame) => {
                        self.ecus
                            .iter_mut()
                            .for_each(|ecu| ecu.on_frame(self.now, &frame));
                    }
                    ClientOutput::Finished(result) => {
                        return Asked {
                            result,
                            samples,
                            withheld,
                            frames,
                        };
                    }
                    other => panic!("{other:?}"),
                }
            }
            for ecu in &mut self.ecus {
                while let Some(said) = ecu.poll(self.now, &self.car, &self.faults) {
                    match said {
                        Said::Frame {
                            frame,
                            samples: new,
                        } => {
                            frames += 1;
                            client.on_frame(self.now, &frame);
                            samples.extend(new);
                        }
                        Said::Withheld { samples, .. } => withheld.extend(samples),
                    }
                }
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn names(&self, samples: &[Sample]) -> Vec<(&str, i64)> {
        let columns = &self.model.columns;
        let name = |s: &Sample| {
            (
                columns[(s.column - FIRST_COLUMN) as usize].signal.as_str(),
                s.raw,
            )
        };
        samples.iter().map(name).collect()
    }
}

fn battery() -> Address {
    Address::obd_11(4)
}

#[test]
fn a_long_answer_comes_in_several_frames_and_counts_when_it_is_whole() {
    let mut bench = Bench::new();
    let asked = bench.ask(battery(), Request::did(0x0101));
    let answer = asked.result.unwrap();
    assert_eq!(answer.record().len(), 15);
    assert_eq!(answer.record()[..2], 6200_u16.to_be_bytes());
    assert!(asked.frames >= 3);
    let names = bench.names(&asked.samples);
    assert_eq!(names.len(), 10);
    assert_eq!(
        names[0],
        (
            "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
            6200
        )
    );
}

#[test]
fn the_vin_is_told_in_both_ways() {
    let mut bench = Bench::new();
    let vin: Vin = bench.car.vin.parse().unwrap();
    for (address, request) in [
        (battery(), Request::did(isotp::uds::VIN_DID)),
        (Address::obd_29(0x42), Request::did(isotp::uds::VIN_DID)),
        (
            Address::obd_11(0),
            Request::VehicleInformation { info_type: 2 },
        ),
    ] {
        let asked = bench.ask(address, request);
        assert_eq!(asked.result.unwrap().vin(), Ok(vin));
        assert!(asked.samples.is_empty());
    }
}

#[test]
fn current_data_follow_saej1979() {
    let mut bench = Bench::new();
    bench.car.low_voltage = 13.25;
    bench.car.run_time = 4660.0;
    let address = Address::obd_11(0);
    for (pid, bytes) in [
        (0x0D, vec![0]),
        (0x1F, vec![0x12, 0x34]),
        (0x42, vec![0x33, 0xC2]),
        (0x5B, vec![158]),
    ] {
        let asked = bench.ask(address, Request::pid(pid));
        assert_eq!(asked.result.unwrap().record(), bytes, "PID {pid:02X}");
        assert_eq!(asked.samples.len(), 1);
    }
    // 158 of 255 are 61.96 %.
    let asked = bench.ask(address, Request::pid(0x5B));
    assert_eq!(
        bench.names(&asked.samples),
        [("Vehicle.OBD.HybridBatteryRemaining", 6196)]
    );
    let several = bench.ask(
        address,
        Request::CurrentData {
            pids: vec![0x0D, 0x42, 0xA6],
        },
    );
    assert_eq!(several.samples.len(), 3);
}

#[test]
fn the_slow_identifier_sometimes_asks_for_time_and_always_answers() {
    let mut bench = Bench::new();
    let durations: Vec<_> = (0..60)
        .map(|_| {
            let start = bench.now;
            let asked = bench.ask(battery(), Request::did(0x0105));
            assert_eq!(asked.samples.len(), 5);
            assert!(asked.result.is_ok());
            bench.now.saturating_sub(start)
        })
        .collect();
    let slow = durations.iter().filter(|d| **d >= SLOWNESS).count();
    assert!((5..30).contains(&slow), "{slow}");
}

#[test]
fn twenty_nine_bits_and_all_at_once() {
    let mut bench = Bench::new();
    let asked = bench.ask(Address::obd_29(0x42), Request::did(0x0210));
    assert_eq!(asked.samples.len(), 5);
    assert!(asked.result.is_ok());

    let mut group = Group::obd_11(Timing::default());
    group.request(Request::pid(0x42)).unwrap();
    let mut answers = 0;
    for _ in 0..1000 {
        while let Some(output) = group.poll(bench.now) {
            match output {
                GroupOutput::Transmit(frame) => {
                    assert_eq!(frame.id(), CanId::standard(0x7DF).unwrap());
                    bench
                        .ecus
                        .iter_mut()
                        .for_each(|ecu| ecu.on_frame(bench.now, &frame));
                }
                GroupOutput::Answered { .. } => answers += 1,
                _ => {}
            }
        }
        for ecu in &mut bench.ecus {
            while let Some(said) = ecu.poll(bench.now, &bench.car, &bench.faults) {
                if let Said::Frame { frame, .. } = said {
                    group.on_frame(bench.now, &frame);
                }
            }
        }
        bench.now += Duration::from_millis(1);
    }
    assert_eq!(
        answers, 1,
        "only the ECU with emission-related data answers"
    );
}

#[test]
fn faults_withhold_the_values() {
    let mut bench = Bench::new();
    bench.faults.inject("car-01", Fault::EcuSilent, 1);
    let asked = bench.ask(battery(), Request::did(0x0101));
    assert_eq!(asked.result, Err(ClientError::Timeout));
    assert_eq!((asked.samples.len(), asked.withheld.len()), (0, 10));

    bench.now += Duration::from_secs(1);
    bench.faults.inject("car-01", Fault::EcuNegative, 1);
    let asked = bench.ask(battery(), Request::did(0x0101));
    assert!(matches!(asked.result, Err(ClientError::Negative(nrc)) if nrc.code() == 0x22));
    assert_eq!((asked.samples.len(), asked.withheld.len()), (0, 10));

    let unknown = bench.ask(battery(), Request::did(0x0999));
    assert!(matches!(unknown.result, Err(ClientError::Negative(nrc)) if nrc.code() == 0x31));
    assert!(unknown.samples.is_empty() && unknown.withheld.is_empty());
}
