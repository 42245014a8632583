//! `edge learn`: a bus is recorded, and what the technician read off the dashboard finds the signals in it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ::learn::{LOW_VOLTAGE, ODOMETER, PACK_VOLTAGE, Quantity, Reading, Recording, STATE_OF_CHARGE};
use clap::Subcommand;
use edge::{
    clock::Clock,
    sources::{
        can::{Bus, BusError},
        scan::Scan,
    },
};
use isotp::CanId;
use vehicles::log::LogReader;

use super::Failure;

mod answers;
mod scan;

/// What `edge learn` does.
#[derive(Subcommand)]
pub(crate) enum Learn {
    /// Record a bus; nothing is sent on it. A file that exists is gone on with, and the clock in it goes on, too.
    Record {
        /// The bus, as in a gateway's configuration: socketcan:can0.
        interface: String,
        /// The recording, in the format of candump.
        #[arg(long)]
        out: PathBuf,
        /// For how many seconds.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Ask an ECU for one identifier after the other and write down what it answers. Only reads; waits while the car sleeps;
    /// a file that exists is gone on with after its last line.
    Scan {
        /// The bus, as in a gateway's configuration: elm327://192.168.0.10.
        interface: String,
        /// Identifier of the request's frames: 7E4.
        #[arg(long)]
        request: CanId,
        /// Identifier of the answer's frames, where it does not follow from the request as in ISO 15765-4.
        #[arg(long)]
        response: Option<CanId>,
        /// 22, or 21 whose identifiers have one byte.
        #[arg(long, default_value = "22", value_parser = hexadecimal)]
        service: u16,
        /// The first identifier.
        #[arg(long, default_value = "0000", value_parser = hexadecimal)]
        from: u16,
        /// The last identifier.
        #[arg(long, default_value = "FFFF", value_parser = hexadecimal)]
        to: u16,
        /// Milliseconds between an answer and the next request.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(20..=60_000))]
        pause: u64,
        /// Only what was answered in this file of an earlier scan: so that it takes a minute, not hours.
        #[arg(long, value_name = "FILE")]
        only: Option<PathBuf>,
        /// What was found: a line for each identifier, request and answer in hexadecimal digits, `-` for none.
        #[arg(long)]
        out: PathBuf,
    },
    /// Print the counters and checksums of a recording.
    Guards {
        /// The recording.
        recording: PathBuf,
    },
    /// Rank what explains readings of the dashboard, and write a draft.
    Rank {
        /// The recording.
        recording: PathBuf,
        /// What the dashboard showed, and when in seconds of the recording: soc=81@125, odometer=34512@125 (km),
        /// voltage=355@125 (V of the traction battery), low-voltage=12.6@125 (V of the 12 V battery, by a multimeter). Five of each, far apart, are good.
        #[arg(long = "reading", required = true)]
        readings: Vec<String>,
        /// Write NAME.toml and NAME.dbc: a draft of a vehicle profile. Existing files are not overwritten.
        #[arg(long, value_name = "NAME")]
        draft: Option<PathBuf>,
    },
    /// Rank what in an ECU's answers explains readings of the dashboard, and write a draft. The answers come from several scans.
    RankAnswers {
        /// A scan, and what the dashboard showed meanwhile: one.txt:soc=81,odometer=34512. Five, far apart, are good.
        #[arg(long = "scan", required = true)]
        scans: Vec<String>,
        /// Identifier of the request's frames, as in the scans.
        #[arg(long)]
        request: CanId,
        /// Identifier of the answer's frames, as in the scans.
        #[arg(long)]
        response: Option<CanId>,
        /// Write NAME.toml: a draft of a vehicle profile. An existing file is not overwritten.
        #[arg(long, value_name = "NAME")]
        draft: Option<PathBuf>,
    },
}

pub(crate) fn learn(learn: Learn) -> Result<(), Failure> {
    match learn {
        Learn::Record {
            interface,
            out,
            seconds,
        } => record(&interface, &out, seconds),
        Learn::Scan {
            interface,
            request,
            response,
            service,
            from,
            to,
            pause,
            only,
            out,
        } => {
            let service = u8::try_from(service).map_err(Failure::input)?;
            let address = scan::address(request, response)?;
            let what = Scan {
                address,
                service,
                first: from,
                last: to,
                only: only.as_deref().map(answers::identifiers).transpose()?,
                pause: Duration::from_millis(pause),
                within: Duration::from_secs(3),
            };
            scan::run(&interface, what, &out)
        }
        Learn::Guards { recording } => {
            guards(&read(&recording)?);
            Ok(())
        }
        Learn::Rank {
            recording,
            readings,
            draft,
        } => rank(&read(&recording)?, &readings, draft.as_deref()),
        Learn::RankAnswers {
            scans,
            request,
            response,
            draft,
        } => {
            let address = scan::address(request, response)?;
            answers::rank(&scans, &address, draft.as_deref())
        }
    }
}

fn record(interface: &str, out: &Path, seconds: u64) -> Result<(), Failure> {
    let interface = interface.parse().map_err(Failure::input)?;
    let clock = Arc::new(Clock::start().map_err(Failure::running)?);
    let before = match fs::read_to_string(out) {
        Ok(text) => LogReader::new(text.lines())
            .flatten()
            .map(|frame| frame.time_us)
            .max(),
        Err(_) => None,
    };
    let file = fs::OpenOptions::new().append(true).create(true).open(out);
    let file = file.map_err(|error| Failure::input(format!("{}: {error}", out.display())))?;
    let mut file = std::io::BufWriter::new(file);
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::running)?;
    let frames = runtime.block_on(async {
        let mut bus = Bus::open(&interface, clock.clone())
            .await
            .map_err(Failure::running)?;
        let began = clock.now_us();
        let end = tokio::time::sleep(Duration::from_secs(seconds));
        tokio::pin!(end);
        let mut frames = 0u64;
        loop {
            let received = tokio::select! {
                received = bus.receive() => received,
                () = &mut end => break,
                _ = tokio::signal::ctrl_c() => break,
            };
            let received = match received {
                Ok(received) => received,
                Err(BusError::End) => break,
                Err(error) => return Err(Failure::running(error)),
            };
            let since = u64::try_from(received.time_us - began).unwrap_or(0);
            let time = before.map_or(0, |before| before + 1_000_000) + since;
            writeln!(
                file,
                "({}.{:06}) can0 {}",
                time / 1_000_000,
                time % 1_000_000,
                received.frame
            )
            .map_err(Failure::running)?;
            frames += 1;
        }
        Ok(frames)
    })?;
    file.flush().map_err(Failure::running)?;
    println!("{frames} frames in {}", out.display());
    Ok(())
}

/// A recording, its time from 0 on.
fn read(path: &Path) -> Result<Recording, Failure> {
    let bytes =
        fs::read(path).map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut recording = Recording::default();
    let mut first = None;
    for frame in LogReader::new(text.lines()).flatten() {
        let bytes = isotp::Frame::classic(frame.id, &frame.data);
        let bytes = bytes.or_else(|_| isotp::Frame::fd(frame.id, &frame.data));
        if let Ok(bytes) = bytes
            && !frame.remote
            && !frame.error
        {
            let first = *first.get_or_insert(frame.time_us);
            recording.add(frame.time_us.saturating_sub(first), &bytes);
        }
    }
    if recording.ids().next().is_none() {
        let what = "expected a recording (candump, GVRET, ASC or TRC), found no frame";
        return Err(Failure::input(format!("{}: {what}", path.display())));
    }
    Ok(recording)
}

fn guards(recording: &Recording) {
    let found = ::learn::guards(recording);
    for counter in found.counters {
        let window = counter.window;
        println!(
            "{}: counter of {} bits from bit {} on ({:?} endian), {:+} each frame, {:.1} % regular",
            counter.id,
            window.length,
            window.start(),
            window.order,
            counter.step,
            counter.regular * 100.0
        );
    }
    for sum in found.checksums {
        println!(
            "{}: checksum of {} bits from bit {} on: {:?}, constant {:02X}",
            sum.id, sum.length, sum.start, sum.rule, sum.constant
        );
    }
}

fn rank(recording: &Recording, readings: &[String], draft: Option<&Path>) -> Result<(), Failure> {
    let mut by_name: BTreeMap<&str, (Quantity, Vec<Reading>)> = BTreeMap::new();
    for text in readings {
        let (name, quantity, reading) = reading(text).ok_or_else(|| {
            Failure::input(format!(
                "expected a reading such as soc=81@125 ({KNOWN}; seconds of the recording), found `{text}`"
            ))
        })?;
        by_name
            .entry(name)
            .or_insert((quantity, Vec::new()))
            .1
            .push(reading);
    }
    let mut found = Vec::new();
    for (name, (quantity, readings)) in by_name {
        let ranked = ::learn::rank(recording, &quantity, &readings);
        if ranked.is_empty() {
            println!(
                "{name}: nothing explains these readings; take more, of values that are further apart"
            );
        }
        for candidate in ranked.iter().take(5) {
            println!(
                "{name}: {} bit {} length {} {:?} endian{}, x {} + {}: cost {:.2}, confidence {:.0} %{}",
                candidate.page.id,
                candidate.window.start(),
                candidate.window.length,
                candidate.window.order,
                candidate
                    .page
                    .first
                    .map(|first| format!(", page {first}"))
                    .unwrap_or_default(),
                candidate.factor,
                candidate.offset,
                candidate.cost,
                candidate.confidence * 100.0,
                ::learn::remark(&quantity, candidate.standard)
            );
        }
        found.extend(ranked.first().map(|best| (quantity, *best)));
    }
    let Some(draft) = draft else {
        return Ok(());
    };
    let (dbc, profile) = (draft.with_extension("dbc"), draft.with_extension("toml"));
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let written = ::learn::draft(&name(draft), &name(&dbc), &found);
    write_new(&dbc, &written.dbc)?;
    write_new(&profile, &written.profile)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let file = file.and_then(|mut file| file.write_all(text.as_bytes()));
    file.map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}

/// What readings are of.
const KNOWN: &str = "soc, odometer, voltage, low-voltage";

/// The quantity that readings call so, and a value of it: `soc=81`. The step of the display is that of the last digit.
fn value(text: &str) -> Option<(&'static str, Quantity, f64, f64)> {
    let (name, value) = text.split_once('=')?;
    let (name, quantity) = match name {
        "soc" => ("soc", STATE_OF_CHARGE),
        "odometer" => ("odometer", ODOMETER),
        "voltage" => ("voltage", PACK_VOLTAGE),
        "low-voltage" => ("low-voltage", LOW_VOLTAGE),
        _ => return None,
    };
    let places = value.split_once('.').map_or(0, |(_, places)| places.len());
    let step = 0.1f64.powi(i32::try_from(places).ok()?);
    Some((name, quantity, value.parse().ok()?, step))
}

/// `soc=81@125`.
fn reading(text: &str) -> Option<(&'static str, Quantity, Reading)> {
    let (shown, at) = text.split_once('@')?;
    let (name, quantity, value, step) = value(shown)?;
    let seconds: f64 = at.trim_end_matches('s').parse().ok()?;
    let reading = Reading {
        time_us: (seconds * 1e6) as u64,
        value,
        step,
    };
    Some((name, quantity, reading))
}

fn hexadecimal(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text, 16).map_err(|_| "one to four hexadecimal digits".to_owned())
}
