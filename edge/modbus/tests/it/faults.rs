//! Lines with random faults, for as long as `PATIO_TEST_SECONDS` says: RTU, a gateway that mistakes answers itself, and TCP.

use std::{collections::HashMap, sync::Arc, time::Duration};

use modbus::{Bus, Device, Framing, Timing, device::Place, plan};
use tokio::time::Instant;

use crate::{
    faulty_line::{Faults, IDENTITY, Log, start, truth},
    support::{Random, device, seconds},
};

/// Maps of very different plans: one block, many requests of equal length, two intervals, no identity.
fn maps(random: &mut Random) -> Vec<Arc<Device>> {
    let text = |addresses: &[u16], most: u16, slow: u16, identity: bool| {
        let point = |a: &u16| {
            let interval = if *a >= slow {
                ", interval_ms = 700"
            } else {
                ""
            };
            format!(
                "{{ signal = \"r{a}\", unit = \"1\", address = {a}, type = \"u32\"{interval} }},"
            )
        };
        let points = addresses.iter().map(point).collect::<Vec<_>>().concat();
        let identity = if identity {
            format!("[identity]\naddress = {IDENTITY}\ntype = \"u32\"\n")
        } else {
            String::new()
        };
        format!(
            "manufacturer = \"Test\"\nmodel = \"Faults\"\nkind = \"meter\"\nsource = \"this test\"\npoints = [{points}]\n[defaults]\ninterval_ms = 200\nmax_registers = {most}\n{identity}"
        )
    };
    let block: Vec<u16> = (0..20).map(|n| n * 2).collect();
    let spread: Vec<u16> = (0..12).map(|n| n / 2 * 20 + n % 2 * 2).collect();
    let all = [
        text(&block, 125, 1000, true),
        text(&block, 8, 1000, true),
        text(&spread, 125, 1000, true),
        text(&spread, 125, 60, false),
        text(&block, 16, 20, false),
    ];
    (0..3)
        .map(|_| Arc::new(device(&all[random.below(all.len() as u64) as usize])))
        .collect()
}

#[derive(Debug, Default)]
struct Count {
    polls: usize,
    accepted: usize,
    wrong: usize,
}

/// Ten simulated minutes of a line, or less when the clock on the wall says so.
async fn simulate(seed: u64, until: std::time::Instant) -> Count {
    let mut random = Random(seed);
    let mut faults = Faults::random(&mut random);
    let devices = maps(&mut random);
    if devices.iter().any(|device| plan(device).syncs.len() == 1) {
        // What a map with one sync read can bear: see the documentation of the crate.
        faults.most = 1;
    }
    let log: Log = Arc::default();
    let framing = [Framing::Rtu, Framing::TcpGateway, Framing::Tcp][(seed % 3) as usize];
    let connect = start(framing, faults, random.clone(), &log);
    let hour = Duration::from_hours(1);
    let timing = Timing {
        response: Duration::from_millis(100),
        drain_limit: hour,
        ..Timing::serial(115_200)
    };
    let mut bus = Bus::new(framing, timing, connect);
    let mut places = Vec::new();
    for (unit, device) in devices.iter().enumerate() {
        bus.add(unit as u8 + 1, Arc::clone(device), None).unwrap();
        let requests = plan(device)
            .groups
            .into_iter()
            .flat_map(|group| group.requests);
        let place_of: HashMap<usize, Place> = requests
            .flat_map(|request| {
                request
                    .points
                    .clone()
                    .into_iter()
                    .map(move |point| (point, request.place))
            })
            .collect();
        places.push(place_of);
    }
    let mut count = Count::default();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_mins(10) && std::time::Instant::now() < until {
        // Now and then somebody loses patience and drops the future in the middle of an exchange.
        let cycle = if random.one_in(50) {
            let patience = Duration::from_millis(random.below(300));
            match tokio::time::timeout(patience, bus.next()).await {
                Ok(cycle) => cycle,
                Err(_) => continue,
            }
        } else {
            bus.next().await
        };
        let log = log.lock().unwrap();
        for reading in &cycle.readings {
            let address = devices[cycle.unit].map().points[reading.point].address as u16;
            let place = places[cycle.unit][&reading.point];
            let asked = (cycle.unit as u8 + 1, place);
            let last = log
                .iter()
                .rposition(|entry| *entry == asked)
                .expect("a reading was asked for");
            count.accepted += 1;
            if reading.raw != truth(address, last + 1) {
                count.wrong += 1;
                eprintln!(
                    "seed {seed}: {faults:?}: point at {address}: {:#x} instead of {:#x}",
                    reading.raw,
                    truth(address, last + 1)
                );
            }
        }
        if let Some(identity) = &cycle.identity {
            assert_eq!(
                *identity,
                (0x1000 + cycle.unit + 1).to_string(),
                "seed {seed}"
            );
        }
    }
    count.polls = log.lock().unwrap().len();
    count
}

#[test]
fn no_fault_of_a_line_makes_a_wrong_value() {
    let until = std::time::Instant::now() + Duration::from_secs(seconds());
    let (mut all, mut seeds) = (Count::default(), 0);
    while seeds == 0 || std::time::Instant::now() < until {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let count = runtime.block_on(simulate(seeds, until));
        all = Count {
            polls: all.polls + count.polls,
            accepted: all.accepted + count.accepted,
            wrong: all.wrong + count.wrong,
        };
        seeds += 1;
    }
    println!(
        "{seeds} seeds: polls {}, values accepted {}, wrong values {}",
        all.polls, all.accepted, all.wrong
    );
    assert_eq!(all.wrong, 0);
    assert!(all.accepted > all.polls / 4, "hardly a value came through");
}

/// The simulation itself: a client that trusts frames alone is caught by it.
#[tokio::test(start_paused = true)]
async fn the_simulation_catches_a_client_that_trusts_frames_alone() {
    let faults = Faults {
        late: 4,
        lost: 0,
        repeated: 10,
        damaged: 0,
        exception: 0,
        latest: 400,
        most: 1,
    };
    let log: Log = Arc::default();
    let mut open = start(Framing::Rtu, faults, Random(1), &log);
    let near = open().await.unwrap();
    let timing = Timing {
        response: Duration::from_millis(100),
        quiet: Duration::ZERO,
        drain: Duration::ZERO,
        ..Timing::serial(115_200)
    };
    let mut line = modbus::Line::new(near, Framing::Rtu, timing, 0);
    let mut wrong = 0;
    for n in 0..500 {
        let address = n % 10 * 2;
        let request = tokio_modbus::Request::ReadHoldingRegisters(address, 2);
        if let Ok(Ok(tokio_modbus::Response::ReadHoldingRegisters(words))) =
            line.call(1, &request).await
        {
            let found = i64::from(u32::from(words[0]) << 16 | u32::from(words[1]));
            let number = log.lock().unwrap().len();
            wrong += u32::from(found != truth(address, number));
        }
    }
    assert!(
        wrong > 0,
        "the faults of the simulation do not reach the client"
    );
}
