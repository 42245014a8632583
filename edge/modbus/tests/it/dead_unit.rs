//! One dead unit on a line costs the others at most 5 % of their rate, on a wire and on a connection.

use std::{
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use modbus::{Bus, Framing, Timing, longest_silence};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep},
};

use crate::support::{Registers, asked, device, opened_once, rtu_frame, rtu_request};

const MAP: &str = r#"
manufacturer = "Test"
model = "Rate"
kind = "meter"
source = "this test"
points = [
    { signal = "W", address = 0, type = "i32" },
    { signal = "Hz", address = 2, type = "u16", scale = 0.01 },
    { signal = "TotWhImp", address = 3, type = "u64" },
]
[identity]
address = 20
type = "u32"
"#;

/// Units 1 to 6 answer after 15 ms, but not the dead one once it is dead.
async fn units(mut line: DuplexStream, dead: u8, from: Duration) {
    let start = Instant::now();
    let mut registers = Registers::default();
    registers.put(modbus::map::Table::Holding, 0, &[0, 4000, 5001, 0, 0, 1, 2]);
    registers.put(modbus::map::Table::Holding, 20, &[12, 34]);
    while let Some((unit, asked)) = rtu_request(&mut line).await {
        if unit == dead && start.elapsed() >= from {
            continue;
        }
        sleep(Duration::from_millis(15)).await;
        let _ = line
            .write_all(&rtu_frame(unit, &registers.answer(&asked)))
            .await;
    }
}

/// Cycles with readings of each unit in ten minutes; of the units 1 to 6 those that `on_the_line` names are polled.
async fn rates(interval_ms: u32, on_the_line: &[u8], dead: u8, from: Duration) -> Vec<(u8, u32)> {
    let (near, far) = duplex(1024);
    let simulation = tokio::spawn(units(far, dead, from));
    let mut bus = Bus::new(Framing::Rtu, Timing::serial(19_200), opened_once(near));
    let device = Arc::new(device(&format!(
        "{MAP}[defaults]\ninterval_ms = {interval_ms}\n"
    )));
    for unit in on_the_line {
        bus.add(*unit, Arc::clone(&device), None).unwrap();
    }
    let mut good: Vec<(u8, u32)> = on_the_line.iter().map(|unit| (*unit, 0)).collect();
    let start = Instant::now();
    while start.elapsed() < Duration::from_mins(10) {
        let cycle = bus.next().await;
        good[cycle.unit].1 += u32::from(!cycle.readings.is_empty());
    }
    simulation.abort();
    good.retain(|(unit, _)| *unit != dead);
    good
}

/// Compared with a line on which the dead unit does not exist.
#[tokio::test(start_paused = true)]
async fn a_dead_unit_costs_the_others_at_most_five_per_cent() {
    let dead = 3;
    for (interval, says) in [
        (1000, "one reading a second"),
        (50, "as fast as the line goes"),
    ] {
        let without = rates(interval, &[1, 2, 4, 5, 6], dead, Duration::ZERO).await;
        for (from, when) in [
            (Duration::ZERO, "from the start"),
            (Duration::from_mins(1), "after a minute"),
        ] {
            let with = rates(interval, &[1, 2, 3, 4, 5, 6], dead, from).await;
            // While it lived it had its share of a line that is used to the full.
            let alive = if interval < 1000 {
                from.as_secs_f64() / 600.0 / 6.0
            } else {
                0.0
            };
            let shares = with
                .iter()
                .zip(&without)
                .map(|((_, a), (_, b))| f64::from(*a) / f64::from(*b) / (1.0 - alive));
            let worst = shares.fold(f64::INFINITY, f64::min);
            println!(
                "{says}, dead {when}: healthy_rate_with_dead_unit = {worst:.4} ({without:?} -> {with:?})"
            );
            assert!(worst >= 0.95);
        }
    }
}

/// A server with units behind one connection, of which one says nothing from a time on.
async fn server(mut connection: DuplexStream, hung: u8, from: Instant) {
    let mut registers = Registers::default();
    registers.put(modbus::map::Table::Holding, 0, &[0, 4000, 5001, 0, 0, 1, 2]);
    registers.put(modbus::map::Table::Holding, 20, &[12, 34]);
    let mut head = [0; 7];
    while connection.read_exact(&mut head).await.is_ok() {
        let mut pdu = vec![0; usize::from(head[5]) - 1];
        if connection.read_exact(&mut pdu).await.is_err() {
            return;
        }
        if head[6] == hung && Instant::now() >= from {
            continue;
        }
        sleep(Duration::from_millis(15)).await;
        let answer = registers.answer(&asked(&pdu));
        head[5] = answer.len() as u8 + 1;
        let frame = [&head[..], &answer].concat();
        if connection.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// A unit that hangs behind a connection costs that connection, again and again, and the others go on; whoever watches the
/// line hears that it moves all the time.
#[tokio::test(start_paused = true)]
async fn a_unit_that_hangs_on_a_connection_does_not_stop_the_others() {
    let start = Instant::now();
    let hangs = start + Duration::from_mins(1);
    let connect = move || {
        let (near, far) = duplex(1024);
        tokio::spawn(server(far, 2, hangs));
        ready(Ok(near))
    };
    let timing = Timing::tcp();
    let mut bus = Bus::new(Framing::Tcp, timing, connect);
    // When it was heard last, and the longest that it was not.
    let heard = Arc::new(Mutex::new((start, Duration::ZERO)));
    let hears = heard.clone();
    bus.watched(move || {
        let mut heard = hears.lock().unwrap();
        let now = Instant::now();
        *heard = (now, heard.1.max(now - heard.0));
    });
    let device = Arc::new(device(&format!("{MAP}[defaults]\ninterval_ms = 1000\n")));
    for unit in 1..=3 {
        bus.add(unit, device.clone(), None).unwrap();
    }
    let mut good = [0u32; 3];
    while start.elapsed() < Duration::from_mins(11) {
        let cycle = bus.next().await;
        if !cycle.readings.is_empty() {
            good[cycle.unit] += 1;
        }
    }
    let longest = heard.lock().unwrap().1;
    println!("readings of the units: {good:?}; the line was silent for {longest:?} at most");
    assert!(bus.is_dead(1) && good[1] <= 62, "{good:?}");
    // One reading a second, ten of the eleven minutes beside a unit that hangs.
    assert!(
        good[0] >= 660 * 95 / 100 && good[2] >= 660 * 95 / 100,
        "{good:?}"
    );
    assert!(longest <= longest_silence(&timing), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_comes_back_is_found() {
    let (near, far) = duplex(1024);
    let start = Instant::now();
    tokio::spawn(async move {
        let mut line = far;
        let mut registers = Registers::default();
        registers.put(modbus::map::Table::Holding, 0, &[0, 4000, 5001, 0, 0, 1, 2]);
        registers.put(modbus::map::Table::Holding, 20, &[12, 34]);
        while let Some((unit, asked)) = rtu_request(&mut line).await {
            if start.elapsed() > Duration::from_mins(5) {
                let _ = line
                    .write_all(&rtu_frame(unit, &registers.answer(&asked)))
                    .await;
            }
        }
    });
    let mut bus = Bus::new(Framing::Rtu, Timing::serial(19_200), opened_once(near));
    bus.add(1, Arc::new(device(MAP)), None).unwrap();
    loop {
        let cycle = bus.next().await;
        assert!(
            start.elapsed() < Duration::from_secs(361),
            "not found a minute after it came back"
        );
        if !cycle.readings.is_empty() {
            assert_eq!(cycle.identity.as_deref(), Some("786466"));
            break;
        }
        assert!(bus.is_dead(0));
    }
    assert!(!bus.is_dead(0) && start.elapsed() > Duration::from_mins(5));
}
