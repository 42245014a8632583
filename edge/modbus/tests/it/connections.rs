//! Opening, closing and losing connections.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use modbus::{Bus, Fault, Framing, Timing, UnitError, map::Table};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, timeout},
};

use crate::support::{Registers, asked, device};

const MAP: &str = "manufacturer = \"Test\"\nmodel = \"Tcp\"\nkind = \"meter\"\nsource = \"this test\"\npoints = [{ signal = \"W\", address = 0, type = \"i32\" }]\n";

/// Answers `answers` requests over MBAP, then falls silent.
async fn device_on(mut line: DuplexStream, mut answers: u32) {
    let mut registers = Registers::default();
    registers.put(Table::Holding, 0, &[0, 4000]);
    let mut head = [0; 7];
    while line.read_exact(&mut head).await.is_ok() {
        let mut pdu = vec![0; usize::from(head[5]) - 1];
        line.read_exact(&mut pdu).await.unwrap();
        if answers == 0 {
            continue;
        }
        answers -= 1;
        let answer = registers.answer(&asked(&pdu));
        head[5] = answer.len() as u8 + 1;
        if line
            .write_all(&[&head[..], &answer].concat())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// A way to devices that answer so many requests to each connection, counting connections.
fn network(
    answers: u32,
) -> (
    Arc<AtomicU32>,
    impl FnMut() -> std::future::Ready<io::Result<DuplexStream>>,
) {
    let count = Arc::new(AtomicU32::new(0));
    let opened = Arc::clone(&count);
    let connect = move || {
        let (near, far) = duplex(256);
        tokio::spawn(device_on(far, answers));
        opened.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(near))
    };
    (count, connect)
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_be_opened_is_reported_and_tried_ever_less() {
    let count = Arc::new(AtomicU32::new(0));
    let tries = Arc::clone(&count);
    let connect = move || {
        tries.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Err::<DuplexStream, _>(io::Error::other("no route")))
    };
    let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), connect);
    bus.add(1, Arc::new(device(MAP)), None).unwrap();
    let start = Instant::now();
    let mut cycles = 0;
    while start.elapsed() < Duration::from_mins(10) {
        let cycle = bus.next().await;
        assert_eq!(
            cycle.errors,
            [UnitError::LineDown {
                says: "no route".to_owned()
            }]
        );
        cycles += 1;
    }
    assert!(!bus.is_dead(0));
    assert!((600..=602).contains(&cycles), "{cycles} cycles");
    let tries = count.load(Ordering::Relaxed);
    assert!((20..=40).contains(&tries), "{tries} tries in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_replaced_in_the_same_cycle() {
    let (count, connect) = network(3);
    let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), connect);
    bus.add(1, Arc::new(device(MAP)), None).unwrap();
    for cycles in 1..=9 {
        let cycle = bus.next().await;
        assert_eq!(
            cycle.readings.len(),
            1,
            "cycle {cycles}: {:?}",
            cycle.errors
        );
        let timeouts = cycle
            .errors
            .iter()
            .filter(|e| {
                matches!(
                    e,
                    UnitError::Fault {
                        fault: Fault::Timeout { .. },
                        ..
                    }
                )
            })
            .count();
        assert_eq!(
            timeouts,
            usize::from(cycles > 1 && cycles % 3 == 1),
            "cycle {cycles}"
        );
    }
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_costs_the_connection_but_no_value() {
    let (count, connect) = network(u32::MAX);
    let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), connect);
    bus.add(1, Arc::new(device(MAP)), None).unwrap();
    assert_eq!(bus.next().await.readings.len(), 1);
    bus.ready().await;
    // Polled once: the request has left, its answer has not come.
    assert!(timeout(Duration::ZERO, bus.next()).await.is_err());
    assert_eq!(bus.next().await.readings.len(), 1);
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn workarounds_do_what_they_say() {
    let (count, connect) = network(u32::MAX);
    let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), connect);
    let work = "[workarounds]\nclose_after_cycle = \"Test\"\npause_after_connect = { ms = 200, because = \"Test\" }\n";
    bus.add(1, Arc::new(device(&format!("{MAP}{work}"))), None)
        .unwrap();
    for _ in 0..5 {
        let cycle = bus.next().await;
        assert_eq!((cycle.readings.len(), cycle.errors.len()), (1, 0));
        assert!(cycle.started.elapsed() >= Duration::from_millis(200));
    }
    assert_eq!(count.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn a_bus_lives_in_a_task() {
    let (_, connect) = network(u32::MAX);
    let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), connect);
    bus.add(1, Arc::new(device(MAP)), None).unwrap();
    let task = tokio::spawn(async move { bus.next().await.readings.len() });
    assert_eq!(task.await.unwrap(), 1);
}
