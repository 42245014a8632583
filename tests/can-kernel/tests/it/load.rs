//! Two buses at 4,000 frames a second each: every frame is counted, as seen or as dropped.

use std::time::{Duration, Instant};

use socketcan::{CanFdSocket, CanFrame, EmbeddedFrame as _, Socket as _, StandardId};

use crate::{in_guest, open};

const PER_SECOND: u32 = 4000;
const SECONDS: u32 = 5;

/// Sends numbered frames at the rate, in ticks of 10 ms, as far as this machine goes; returns how long it took.
#[expect(
    clippy::disallowed_methods,
    reason = "this thread is of no runtime, it has only this to do"
)]
fn send(name: &str, count: u32) -> Duration {
    let socket = CanFdSocket::open(name).unwrap();
    let id = StandardId::new(0x123).unwrap();
    let began = Instant::now();
    for number in 0..count {
        let due = Duration::from_secs(1) * (number / 40 * 40) / PER_SECOND;
        if let Some(early) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(early);
        }
        let frame = CanFrame::new(id, &number.to_be_bytes()).unwrap();
        // A full queue is waited for: what counts is what was sent.
        while socket.write_frame(&frame).is_err() {
            std::thread::yield_now();
        }
    }
    began.elapsed()
}

#[test]
fn every_frame_is_seen_or_counted_as_dropped() {
    in_guest(
        "load::every_frame_is_seen_or_counted_as_dropped",
        &[],
        || async {
            let count = PER_SECOND * SECONDS;
            let mut readers = Vec::new();
            let mut senders = Vec::new();
            for name in ["vcan0", "vcan1"] {
                let mut bus = open(name).await.unwrap();
                senders.push(std::thread::spawn(move || send(name, count)));
                readers.push(async move {
                    let (mut seen, mut last) = (0u32, None);
                    loop {
                        let wait = Duration::from_secs(if last.is_none() { 30 } else { 3 });
                        let Ok(received) = tokio::time::timeout(wait, bus.receive()).await else {
                            break;
                        };
                        let data = received.unwrap().frame.data().to_vec();
                        let number = u32::from_be_bytes(data.try_into().unwrap());
                        assert!(
                            last < Some(number),
                            "a frame came twice, or out of its order"
                        );
                        last = Some(number);
                        seen += 1;
                    }
                    // The kernel tells of drops with the next frame that it can deliver.
                    let after = StandardId::new(0x124).unwrap();
                    let socket = CanFdSocket::open(name).unwrap();
                    socket
                        .write_frame(&CanFrame::new(after, &[]).unwrap())
                        .unwrap();
                    bus.receive().await.unwrap();
                    (name, seen, bus.dropped())
                });
            }
            let mut readers = readers.into_iter();
            let (first, second) = tokio::join!(readers.next().unwrap(), readers.next().unwrap());
            let took: Vec<_> = senders
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            for ((name, seen, dropped), took) in [first, second].into_iter().zip(took) {
                println!(
                    "{name}: {count} frames sent at {:.0} a second, {seen} seen, {dropped} dropped",
                    f64::from(count) / took.as_secs_f64()
                );
                assert_eq!(u64::from(seen) + dropped, u64::from(count));
                assert!(seen > 0);
            }
        },
    );
}

#[test]
fn a_reader_that_sleeps_knows_how_much_it_missed() {
    in_guest(
        "load::a_reader_that_sleeps_knows_how_much_it_missed",
        &[],
        || async {
            let count = 4 * PER_SECOND;
            let mut bus = open("vcan0").await.unwrap();
            send("vcan0", count);
            let mut seen = 0;
            while let Ok(received) =
                tokio::time::timeout(Duration::from_secs(1), bus.receive()).await
            {
                received.unwrap();
                seen += 1;
            }
            send("vcan0", 1);
            bus.receive().await.unwrap();
            println!("{count} sent, {seen} seen, {} dropped", bus.dropped());
            assert!(
                bus.dropped() > 0,
                "the kernel's queue is no longer short: send more"
            );
            assert_eq!(seen + bus.dropped(), u64::from(count));
        },
    );
}
