//! How many signals a second one core decodes from CAN frames, and whether the gateway reads every frame of a bus over TCP.
//! A made-up bus: 100 messages of 10 signals each, half of them Motorola. The baseline reads the same signals bit by bit.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use edge::{clock::Clock, sources::can::Bus};
use isotp::{CanId, Frame};
use vehicles::{
    Reading,
    dbc::{Dbc, Decoder},
};

/// Frames that are sent over TCP.
const FRAMES: u64 = 200_000;

fn main() -> Result<()> {
    let (dbc, frames) = made_up()?;
    let decoder = Decoder::new(&Dbc::parse(&dbc));
    let mut readings = Vec::new();
    let (signals_per_s, check) = rate(&frames, |frame| {
        readings.clear();
        decoder.decode(frame.id(), frame.data(), &mut readings);
        sum(&readings)
    });
    let (baseline, _) = rate(&frames, bit_by_bit);
    let seen = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(over_tcp(frames[0]))?;
    println!("decoded by DBC file      {signals_per_s:>14.0} signals/s");
    println!("bit by bit               {baseline:>14.0} signals/s");
    println!("read over TCP            {seen:>14} of {FRAMES} frames");
    println!(
        "{}",
        serde_json::json!({
            "signals_per_s": signals_per_s.round(),
            "ratio_to_bit_by_bit": signals_per_s / baseline,
            "frames_seen": seen,
            "frames_dropped": FRAMES - seen,
            "check": check,
        })
    );
    Ok(())
}

/// Signals a second over two seconds. Something depends on the values, or the compiler would leave the work out.
fn rate(frames: &[Frame], mut decode: impl FnMut(&Frame) -> (u64, i64)) -> (f64, i64) {
    let (mut signals, mut check) = (0u64, 0i64);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        for frame in frames {
            let (count, values) = decode(frame);
            signals += count;
            check = check.wrapping_add(values);
        }
    }
    (signals as f64 / start.elapsed().as_secs_f64(), check)
}

fn sum(readings: &[Reading]) -> (u64, i64) {
    let check = readings
        .iter()
        .fold(0i64, |check, reading| check.wrapping_add(reading.raw));
    (readings.len() as u64, check)
}

fn bit_by_bit(frame: &Frame) -> (u64, i64) {
    let bit = |at: usize| i64::from(frame.data()[at / 8] >> (at % 8) & 1);
    let mut check = 0i64;
    for signal in 0..5 {
        let intel = (0..6)
            .rev()
            .fold(0, |raw, n| raw << 1 | bit(signal * 6 + n));
        let motorola = (0..6).fold(0, |raw, n| {
            let wire = 32 + signal * 6 + n;
            raw << 1 | bit(wire / 8 * 8 + 7 - wire % 8)
        });
        check = check.wrapping_add(intel).wrapping_add(motorola);
    }
    (10, check)
}

/// Frames that the gateway reads of those that an adapter on the network sends as fast as it can.
async fn over_tcp(frame: Frame) -> Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let line = format!("t{}8{}\r", frame.id(), "11".repeat(8)).repeat(100);
        for _ in 0..FRAMES / 100 {
            stream.write_all(line.as_bytes())?;
        }
        Ok(())
    });
    let interface = format!("slcan://127.0.0.1:{port}");
    let interface = interface.parse().map_err(anyhow::Error::msg)?;
    let mut bus = Bus::open(&interface, Arc::new(Clock::start()?)).await?;
    let mut seen = 0;
    // The adapter hangs up when it has sent all: that ends the bus.
    while bus.receive().await.is_ok() {
        seen += 1;
    }
    sender
        .join()
        .map_err(|_| anyhow::anyhow!("the sender has panicked"))??;
    Ok(seen)
}

fn made_up() -> Result<(Vec<u8>, Vec<Frame>)> {
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
        let id = CanId::standard(0x100 + u32::from(message))?;
        frames.push(Frame::classic(id, &[message; 8])?);
    }
    Ok((text.into_bytes(), frames))
}
