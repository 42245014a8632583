//! `scripts/bench wire`: bytes per sample and speed of blocks, against JSON and Sparkplug B, over the same samples: cars of
//! the virtual depot, 20 signals each, once a second, blocks of 60 seconds.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bench::Figures;
use prost::Message as _;
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Decimal, Epoch, SampleBody, Signal, SigningKey, Stream,
    block::SealedBlock, catalogue,
};
use virtual_depot::{Plan, Setup, World, car::report};

const CARS: usize = 20;
const SECONDS: usize = 60;
const BLOCKS: usize = 20;
const START_MS: i64 = 1_763_690_000_000;

const SIGNALS: [&str; 20] = [
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
    "Vehicle.Powertrain.TractionBattery.CurrentVoltage",
    "Vehicle.Powertrain.TractionBattery.CurrentCurrent",
    "Vehicle.Powertrain.TractionBattery.CurrentPower",
    "Vehicle.Powertrain.TractionBattery.Temperature.Min",
    "Vehicle.Powertrain.TractionBattery.Temperature.Average",
    "Vehicle.Powertrain.TractionBattery.Temperature.Max",
    "Vehicle.Powertrain.TractionBattery.CellVoltage.Min",
    "Vehicle.Powertrain.TractionBattery.CellVoltage.Max",
    "Vehicle.Powertrain.TractionBattery.Charging.IsCharging",
    "Vehicle.Speed",
    "Vehicle.TraveledDistance",
    "Vehicle.CurrentLocation.Latitude",
    "Vehicle.CurrentLocation.Longitude",
    "Vehicle.CurrentLocation.Heading",
    "Vehicle.Exterior.AirTemperature",
    "Vehicle.Cabin.HVAC.AmbientAirTemperature",
    "Vehicle.LowVoltageBattery.CurrentVoltage",
    "Vehicle.Powertrain.ElectricMotor.Speed",
    "Vehicle.Powertrain.ElectricMotor.Torque",
];

/// A sample: column, instant in ms, raw integer.
type Sample = (u32, i64, i64);

/// Sparkplug B 3.0.0, §6.4.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

/// A metric by its alias, as DDATA carries it once DBIRTH has named it.
#[derive(Clone, PartialEq, prost::Message)]
struct Metric {
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(double, optional, tag = "13")]
    double_value: Option<f64>,
}

/// `DataType.Double`.
const DOUBLE: u32 = 10;

struct Recording {
    signals: Vec<&'static Signal>,
    /// One list a minute, all cars together, in the order in which they were read.
    minutes: Vec<Vec<Sample>>,
}

fn record() -> Result<Recording> {
    let known = |name: &&str| {
        catalogue()
            .by_name(name)
            .with_context(|| format!("{name} is not in the catalogue"))
    };
    let signals = SIGNALS.iter().map(known).collect::<Result<Vec<_>>>()?;
    let reports = SIGNALS
        .iter()
        .map(|name| report(name).with_context(|| format!("no car has {name}")));
    let reports = reports.collect::<Result<Vec<_>>>()?;
    let mut world = World::new(&Setup {
        seed: 7,
        cars: CARS,
        chargers: CARS,
        speed: 1.0,
        plan: Plan::default(),
        wiring: Vec::new(),
    });
    let mut minutes = Vec::new();
    for minute in 0..BLOCKS {
        let mut samples = Vec::new();
        for second in 0..SECONDS {
            world.step(Duration::from_secs(1));
            let time_ms = START_MS + ((minute * SECONDS + second) * 1000) as i64;
            for (car, state) in world.cars.iter().enumerate() {
                for (index, (signal, report)) in signals.iter().zip(&reports).enumerate() {
                    let raw = (report(state) / signal.resolution.to_f64()).round() as i64;
                    samples.push(((car * SIGNALS.len() + index) as u32, time_ms, raw));
                }
            }
        }
        minutes.push(samples);
    }
    Ok(Recording { signals, minutes })
}

impl Recording {
    fn value(&self, sample: &Sample) -> f64 {
        let signal = self.signals[sample.0 as usize % SIGNALS.len()];
        sample.2 as f64 * signal.resolution.to_f64()
    }

    /// One JSON object a sample, with as many decimals as the signal has.
    fn json(&self, samples: &[Sample]) -> Vec<u8> {
        let mut text = String::new();
        for sample in samples {
            let signal = self.signals[sample.0 as usize % SIGNALS.len()];
            let places = usize::from(Decimal::exponent(signal.resolution).min(0).unsigned_abs());
            let car = sample.0 as usize / SIGNALS.len() + 1;
            let _ = writeln!(
                text,
                "{{\"asset\":\"car-{car:02}\",\"signal\":\"{}\",\"t\":{},\"v\":{:.places$}}}",
                signal.name,
                sample.1,
                self.value(sample)
            );
        }
        text.into_bytes()
    }

    fn sparkplug(&self, samples: &[Sample]) -> Vec<u8> {
        let metrics = samples.iter().map(|sample| Metric {
            alias: Some(sample.0.into()),
            timestamp: Some(sample.1.cast_unsigned()),
            datatype: Some(DOUBLE),
            double_value: Some(self.value(sample)),
        });
        let timestamp = samples.first().map(|sample| sample.1.cast_unsigned());
        Payload {
            timestamp,
            metrics: metrics.collect(),
            seq: Some(1),
        }
        .encode_to_vec()
    }
}

fn seal(samples: &[Sample], key: &SigningKey, seq: u64) -> Result<Vec<u8>> {
    let body = SampleBody::from_samples(
        samples
            .iter()
            .map(|&(column, time_ms, raw)| (column, (time_ms - START_MS) * 1000, raw)),
    );
    let header = BlockHeader {
        gateway: "bench-1".parse()?,
        number: BlockNumber {
            epoch: Epoch {
                counter: 1,
                nonce: 0x1234_5678_9abc_def0,
            },
            stream: Stream::Bulk,
            seq,
        },
        boot: 0x0fed_cba9_8765_4321,
        wall_offset_us: Some(START_MS * 1000),
        samples: body.len() as u32,
        thinned: 0,
        columns: (CARS * SIGNALS.len()) as u32,
    };
    Ok(Block {
        header,
        body: Body::Samples(body),
    }
    .seal(key)?)
}

fn main() -> Result<()> {
    let recording = record()?;
    let key = SigningKey::from_seed([9; 32]);
    let samples: usize = recording.minutes.iter().map(Vec::len).sum();
    let per_sample = |bytes: usize| bytes as f64 / samples as f64;
    let mut figures = Figures::default();

    let began = Instant::now();
    let blocks = recording
        .minutes
        .iter()
        .enumerate()
        .map(|(seq, samples)| seal(samples, &key, seq as u64));
    let blocks = blocks.collect::<Result<Vec<_>>>()?;
    let encode = samples as f64 / began.elapsed().as_secs_f64();

    let began = Instant::now();
    let mut opened = 0;
    for block in &blocks {
        let sealed = SealedBlock::open(block)?;
        sealed.verify(&key.verifying_key())?;
        opened += sealed.content()?.len();
    }
    let decode = samples as f64 / began.elapsed().as_secs_f64();
    anyhow::ensure!(opened == samples, "{opened} of {samples} samples came back");

    // A gateway with one vehicle pays header and signature for it alone.
    let one = |samples: &Vec<Sample>| {
        samples
            .iter()
            .filter(|sample| (sample.0 as usize) < SIGNALS.len())
            .copied()
            .collect::<Vec<_>>()
    };
    let alone = recording
        .minutes
        .iter()
        .map(one)
        .map(|samples| Ok(seal(&samples, &key, 0)?.len()))
        .sum::<Result<usize>>()?;

    let zstd = |bytes: &[u8]| Ok::<_, std::io::Error>(zstd::bulk::compress(bytes, 3)?.len());
    let (mut json, mut json_zstd, mut sparkplug, mut sparkplug_zstd) = (0, 0, 0, 0);
    let mut sparkplug_time = Duration::ZERO;
    for samples in &recording.minutes {
        let text = recording.json(samples);
        json += text.len();
        json_zstd += zstd(&text)?;
        let began = Instant::now();
        let payload = recording.sparkplug(samples);
        sparkplug += payload.len();
        sparkplug_zstd += zstd(&payload)?;
        sparkplug_time += began.elapsed();
    }

    figures.add(
        "bytes_per_sample",
        per_sample(blocks.iter().map(Vec::len).sum()),
        "sealed blocks: 20 cars, 20 signals, 60 s, signed",
    );
    figures.add(
        "bytes_per_sample_one_vehicle",
        alone as f64 / (samples / CARS) as f64,
        "the same, one car to a block",
    );
    figures.add(
        "sparkplug_zstd_bytes_per_sample",
        per_sample(sparkplug_zstd),
        "Sparkplug B by alias, zstd 3",
    );
    figures.add(
        "sparkplug_bytes_per_sample",
        per_sample(sparkplug),
        "Sparkplug B by alias",
    );
    figures.add(
        "json_zstd_bytes_per_sample",
        per_sample(json_zstd),
        "one object a sample, zstd 3",
    );
    figures.add(
        "json_bytes_per_sample",
        per_sample(json),
        "one object a sample",
    );
    figures.add(
        "encode_samples_per_s",
        encode,
        "grouped, encoded, compressed, signed; one core",
    );
    figures.add(
        "decode_samples_per_s",
        decode,
        "verified, decompressed, decoded; one core",
    );
    figures.add(
        "encode_ratio_to_sparkplug_zstd",
        encode / (samples as f64 / sparkplug_time.as_secs_f64()),
        "speed of encoding",
    );
    figures.print();
    Ok(())
}
