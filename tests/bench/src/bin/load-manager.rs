//! One step of the load manager for 50 and 500 stations.
//!
//! Each depot has panels of twenty stations between two phases behind a delta-wye transformer, a measured base load that
//! moves, and cars that want more than there is. The baseline is what simple load managers do in a step: each circuit's
//! currents added as numbers, and the same share for everybody.

use std::{fmt::Write as _, path::Path, time::Instant};

use anyhow::{Context as _, Result};
use bench::Figures;
use depot_config::depot::Depot;
use load_manager::{Inputs, Manager, Measured, MeterReading, Request, Rules, Site, StationReport};

/// Steps that are measured, after as many to warm up.
const STEPS: i64 = 300;

fn main() -> Result<()> {
    let mut figures = Figures::default();
    for stations in [50, 500] {
        let (step, worst, plain) = measure(stations)?;
        figures.add(
            &format!("step_ms_{stations}"),
            step * 1e3,
            &format!("one step, {stations} stations, mean"),
        );
        figures.add(
            &format!("step_us_{stations}"),
            step * 1e6,
            "the same in microseconds",
        );
        figures.add(
            &format!("worst_step_ms_{stations}"),
            worst * 1e3,
            "the longest of them",
        );
        figures.add(
            &format!("ratio_to_scalar_{stations}"),
            step / plain,
            "to sums of numbers without phases, in the same run",
        );
    }
    figures.print();
    Ok(())
}

fn depot(stations: usize) -> Result<Depot> {
    let mut text =
        "[depot]\nid = \"d\"\nname = \"D\"\ntime_zone = \"UTC\"\nlatitude = 0.5\nlongitude = 0.5\n\
         voltage_system = \"440Y/254\"\n[[circuit]]\nid = \"supply\"\nbreaker = 6000\n\
         [[meter]]\nid = \"grid\"\ncircuit = \"supply\"\n\
         modbus = { address = \"tcp://10.0.0.1:502\", unit = 1, map = \"patio-virtual-meter\" }\n"
            .to_owned();
    let power = stations as f64 * 5.0;
    writeln!(
        text,
        "[[circuit]]\nid = \"main\"\nparent = \"supply\"\nbreaker = 6000\n\
         transformer = {{ power = {power:?}, connection = \"Dyn11\", voltage_system = \"220Y/127\" }}"
    )?;
    for station in 0..stations {
        if station % 20 == 0 {
            writeln!(
                text,
                "[[circuit]]\nid = \"p{}\"\nparent = \"main\"\nbreaker = 400",
                station / 20
            )?;
        }
        writeln!(
            text,
            "[[station]]\nid = \"s{station}\"\ncircuit = \"p{}\"\nphases = \"{}\"\nconnectors = [\"Type 1\"]\n\
             max_current = 32\nfallback_current = 6\nocpp = {{ id = \"CP{station}\", version = \"1.6\" }}",
            station / 20,
            ["L1-L2", "L2-L3", "L3-L1"][station % 3]
        )?;
    }
    Depot::parse(Path::new("bench.toml"), &text).map_err(|faults| anyhow::anyhow!("{faults}"))
}

/// Mean and longest time of a step, and that of the baseline, in s.
fn measure(stations: usize) -> Result<(f64, f64, f64)> {
    let depot = depot(stations)?;
    let site = Site::new(&depot, &[]).context("a sound depot")?;
    let ways: Vec<Vec<usize>> = depot
        .stations
        .iter()
        .map(|station| {
            let mut way = Vec::new();
            let mut next = Some(&station.circuit);
            while let Some(id) = next {
                let Some(place) = depot.circuits.iter().position(|circuit| circuit.id == *id)
                else {
                    break;
                };
                way.push(place);
                next = depot.circuits[place].parent.as_ref();
            }
            way
        })
        .collect();
    let mut manager = Manager::new(site, Rules::default(), 0);
    let mut limits = vec![0.0; stations];
    let mut numbers = vec![None; stations];
    let (mut all, mut worst, mut plain) = (0.0, 0.0_f64, 0.0);
    let mut given = 0.0;
    for step in 1..=2 * STEPS {
        let now = step * 1000;
        let base = 100.0 + 80.0 * (step as f64 / 20.0).sin();
        let flows: f64 = limits.iter().sum::<f64>() / 3.0;
        let reports = (0..stations).map(|place| StationReport {
            linked: true,
            car: Some(Request {
                departure: Some(10_000_000 + (place as i64 * 7919) % 5_000_000),
                energy: Some(20_000.0),
                ..Request::default()
            }),
            measured: Some(Measured {
                at: now,
                current: [limits[place]; 3],
            }),
            acknowledged: numbers[place],
            ..StationReport::default()
        });
        let inputs = Inputs {
            meters: vec![MeterReading {
                circuit: 0,
                at: now,
                current: [base + flows; 3],
                power: None,
            }],
            stations: reports.collect(),
            into_quarter: Some(now % 900_000),
        };
        let began = Instant::now();
        let decision = manager.step(&inputs, now);
        let took = began.elapsed().as_secs_f64();
        for write in &decision.writes {
            numbers[write.station] = Some(write.number);
        }
        limits = decision.limits.iter().map(|limit| limit.current).collect();
        let began = Instant::now();
        given += scalar(&depot, &ways, &inputs, base);
        if step > STEPS {
            all += took;
            worst = worst.max(took);
            plain += began.elapsed().as_secs_f64();
        }
    }
    anyhow::ensure!(
        limits.iter().sum::<f64>() > 0.0 && given > 0.0,
        "nobody charges"
    );
    Ok((all / STEPS as f64, worst, plain / STEPS as f64))
}

/// The same share for everybody, by sums of numbers; returns the sum of what is given.
fn scalar(depot: &Depot, ways: &[Vec<usize>], inputs: &Inputs, base: f64) -> f64 {
    let mut sums = vec![0.0; depot.circuits.len()];
    let mut counts = vec![0.0_f64; depot.circuits.len()];
    for (way, report) in ways.iter().zip(&inputs.stations) {
        for &place in way {
            sums[place] += report.measured.map_or(0.0, |measured| measured.current[0]);
            counts[place] += 1.0;
        }
    }
    ways.iter()
        .zip(&inputs.stations)
        .map(|(way, report)| {
            let old = report.measured.map_or(0.0, |measured| measured.current[0]);
            way.iter()
                .map(|&place| {
                    let most = f64::from(depot.circuits[place].breaker) * 0.8 - base;
                    (old + (most - sums[place]) / counts[place]).clamp(0.0, 32.0)
                })
                .fold(32.0, f64::min)
        })
        .sum()
}
