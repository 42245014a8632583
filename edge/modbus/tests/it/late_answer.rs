//! The line that made other clients lie: one answer comes after the time-out, and every later read of the same length
//! got the registers of the read before.

use std::{sync::Arc, time::Duration};

use modbus::{Bus, Framing, Timing};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    time::sleep,
};

use crate::support::{Asked, device, opened_once, read_answer, rtu_frame, rtu_request};

/// Answers in order, `first` after the first request, `others` after all others; register `n` holds 1000 + n.
async fn slow_device(mut line: DuplexStream, first: Duration, others: Duration) {
    let mut delay = first;
    while let Some((unit, asked)) = rtu_request(&mut line).await {
        let Asked::Read {
            table,
            address,
            count,
        } = asked
        else {
            return;
        };
        let words: Vec<u16> = (0..count).map(|at| 1000 + address + at).collect();
        sleep(delay).await;
        delay = others;
        if line
            .write_all(&rtu_frame(unit, &read_answer(table, &words)))
            .await
            .is_err()
        {
            return;
        }
    }
}

fn timing(response: u64, drain: u64) -> Timing {
    Timing {
        response: Duration::from_millis(response),
        drain: Duration::from_millis(drain),
        ..Timing::serial(115_200)
    }
}

/// Four reads of two registers each, at 0, 100, 200 and 300: no answer can be told from the others by its length.
fn four_pairs(identity: &str) -> String {
    let point = |address: u16| {
        format!("{{ signal = \"r{address}\", unit = \"1\", address = {address}, type = \"u16\" }},")
    };
    let points: String = [0, 1, 100, 101, 200, 201, 300, 301].map(point).concat();
    format!(
        "manufacturer = \"Test\"\nmodel = \"Late\"\nkind = \"meter\"\nsource = \"this test\"\npoints = [{points}]\n[defaults]\ninterval_ms = 500\n{identity}"
    )
}

async fn wrong_and_right(first: u64, others: u64, drain: u64, map: &str) -> (usize, usize) {
    let (near, far) = duplex(1024);
    tokio::spawn(slow_device(
        far,
        Duration::from_millis(first),
        Duration::from_millis(others),
    ));
    let mut bus = Bus::new(Framing::Rtu, timing(100, drain), opened_once(near));
    let device = Arc::new(device(map));
    bus.add(1, Arc::clone(&device), None).unwrap();
    let (mut wrong, mut right) = (0, 0);
    for _ in 0..20 {
        let cycle = bus.next().await;
        for reading in &cycle.readings {
            let truth = 1000 + i64::from(device.map().points[reading.point].address);
            if reading.raw == truth {
                right += 1;
            } else {
                wrong += 1;
            }
        }
    }
    (wrong, right)
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_never_taken_for_the_next() {
    for identity in ["", "[identity]\naddress = 500\ntype = \"u64\"\n"] {
        let map = four_pairs(identity);
        for first in (0..2000).step_by(10) {
            let (wrong, right) = wrong_and_right(first, 80, 50, &map).await;
            assert_eq!(wrong, 0, "first answer after {first} ms");
            assert!(
                right >= 8 * 12,
                "only {right} values, first answer after {first} ms"
            );
        }
    }
}

/// A device that is always later than time-out and drain together: no value at all, but no wrong one either.
#[tokio::test(start_paused = true)]
async fn a_device_that_is_always_too_late_gives_nothing() {
    for others in [160, 170, 300, 1000] {
        let (wrong, _) = wrong_and_right(others, others, 50, &four_pairs("")).await;
        assert_eq!(wrong, 0, "every answer after {others} ms");
    }
}

/// Without any drain the sync reads alone keep values and requests together.
#[tokio::test(start_paused = true)]
async fn nothing_depends_on_the_length_of_the_drain() {
    let map = four_pairs("[identity]\naddress = 500\ntype = \"u64\"\n");
    for first in (0..1000).step_by(10) {
        let (wrong, right) = wrong_and_right(first, 20, 0, &map).await;
        assert_eq!(wrong, 0, "first answer after {first} ms");
        assert!(right > 0);
    }
}
