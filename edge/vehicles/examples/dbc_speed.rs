//! How many signals a second one core decodes: `cargo run --release -p vehicles --example dbc_speed [DBC RECORDING]`.
//! Without files a bus is made up: 100 messages of 10 signals each, half of them Motorola.

use std::{
    error::Error,
    fmt::Write,
    fs,
    time::{Duration, Instant},
};

use isotp::CanId;
use vehicles::{
    dbc::{Dbc, Decoder},
    log::LogReader,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dbc, frames) = match arguments.as_slice() {
        [dbc, recording] => {
            let recording = fs::read_to_string(recording)?;
            let frames = LogReader::new(recording.lines())
                .flatten()
                .map(|frame| (frame.id, frame.data));
            (fs::read(dbc)?, frames.collect())
        }
        [] => made_up()?,
        _ => return Err("usage: dbc_speed [DBC RECORDING]".into()),
    };
    let decoder = Decoder::new(&Dbc::parse(&dbc));
    let mut readings = Vec::new();
    let (mut decoded, mut signals, mut check) = (0u64, 0u64, 0i64);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        for (id, data) in &frames {
            readings.clear();
            decoder.decode(*id, data, &mut readings);
            // Something must depend on the readings, or the compiler leaves the work out.
            check = readings
                .iter()
                .fold(check, |check, reading| check.wrapping_add(reading.raw));
            signals += readings.len() as u64;
        }
        decoded += frames.len() as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (per_second, frames_per_second) = (signals as f64 / seconds, decoded as f64 / seconds);
    println!(
        "{{\"signals_per_s\": {per_second:.0}, \"frames_per_s\": {frames_per_second:.0}, \"check\": {check}}}"
    );
    Ok(())
}

type Frames = Vec<(CanId, Vec<u8>)>;

fn made_up() -> Result<(Vec<u8>, Frames), Box<dyn Error>> {
    let mut text = String::new();
    let mut frames = Vec::new();
    for message in 0..100u8 {
        writeln!(text, "BO_ {} M{message}: 8 X", 0x100 + u32::from(message))?;
        for signal in 0..5 {
            let (intel, wire) = (signal * 6, 32 + signal * 6);
            let motorola = wire / 8 * 8 + 7 - wire % 8;
            writeln!(text, " SG_ A{signal} : {intel}|6@1- (0.1,-40) [0|0] \"\" X")?;
            writeln!(
                text,
                " SG_ B{signal} : {motorola}|6@0+ (0.5,0) [0|0] \"\" X"
            )?;
        }
        frames.push((
            CanId::standard(0x100 + u32::from(message))?,
            vec![message; 8],
        ));
    }
    Ok((text.into_bytes(), frames))
}
