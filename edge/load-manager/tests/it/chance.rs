//! Random trees of circuits with random stations, on which random things happen.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use depot_config::depot::{Contract, Currents, Depot, Phase};
use load_manager::{Alarm, Request, Rules, StationOptions};

use crate::sim::Sim;

/// A small generator (SplitMix64): a seed repeats a run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

const PHASES: [&str; 9] = [
    "L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1", "L1-L2-L3", "L2-L3-L1", "L3-L1-L2",
];

/// A tree in which the fall-backs of all, what is reserved and one station at its maximum hold everywhere.
fn depot(chance: &mut Chance) -> (Depot, f64) {
    let system = chance.of(&["220Y/127", "440Y/254", "400Y/230"]);
    let stations = 2 + chance.below(14);
    let feeders = 1 + chance.below(4);
    let reserved = chance.below(20) as f64;
    let mut text = format!(
        "[depot]\nid = \"d\"\nname = \"D\"\ntime_zone = \"UTC\"\nlatitude = 0.5\nlongitude = 0.5\nvoltage_system = \"{system}\"\n"
    );
    // Between two phases of a delta the greatest is twice a winding's; three is above all of it.
    let needs =
        |stations: u64, reserved: f64| (stations as f64 * 6.0 + 32.0) * 2.0 + reserved * 2.0;
    let wide = |chance: &mut Chance, least: f64| {
        (least / 0.8 * (100 + chance.below(80)) as f64 / 100.0).ceil()
    };
    let main = wide(chance, needs(stations, reserved * (feeders + 1) as f64));
    // A neutral that is smaller than the phases holds the fall-backs of all, what is reserved and one station.
    let neutral = |chance: &mut Chance, stations: u64, reserved: f64| {
        let least = stations as f64 * 6.0 + 32.0 + reserved;
        let small = (least * (100 + chance.below(50)) as f64 / 100.0).ceil();
        if chance.one_in(2) {
            format!("\nneutral_limit = {small}")
        } else {
            String::new()
        }
    };
    let smaller = neutral(chance, stations, reserved * (feeders + 1) as f64);
    writeln!(
        text,
        "[[circuit]]\nid = \"main\"\nbreaker = {main}\nreserved = {reserved}{smaller}"
    )
    .unwrap();
    let transformed = chance.one_in(3);
    for feeder in 0..feeders {
        let rated = wide(chance, needs(stations.div_ceil(feeders) + 1, reserved));
        let smaller = neutral(chance, stations.div_ceil(feeders), reserved);
        writeln!(text, "[[circuit]]\nid = \"f{feeder}\"\nparent = \"main\"\nbreaker = {rated}\nreserved = {reserved}{smaller}").unwrap();
        if transformed {
            let group = chance.of(&["Dyn1", "Dyn11", "Yyn0"]);
            writeln!(text, "transformer = {{ power = 1000, connection = \"{group}\", voltage_system = \"{system}\" }}").unwrap();
        }
    }
    for station in 0..stations {
        let phases = chance.of(&PHASES);
        writeln!(
            text,
            "[[station]]\nid = \"s{station}\"\ncircuit = \"f{}\"\nphases = \"{phases}\"\nconnectors = [\"CCS2\"]\n\
             max_current = 32\nfallback_current = 6\nocpp = {{ id = \"CP{station}\", version = \"1.6\" }}",
            station % feeders
        )
        .unwrap();
    }
    let mut unit = 0;
    for circuit in std::iter::once("main".to_owned()).chain((0..feeders).map(|f| format!("f{f}"))) {
        unit += 1;
        if chance.one_in(2) {
            writeln!(
                text,
                "[[meter]]\nid = \"m{unit}\"\ncircuit = \"{circuit}\"\nmodbus = {{ address = \"tcp://10.0.0.1:502\", unit = {unit}, map = \"patio-virtual-meter\" }}"
            )
            .unwrap();
        }
    }
    let depot = Depot::parse(Path::new("chance.toml"), &text);
    (
        depot.unwrap_or_else(|faults| panic!("{faults}\n{text}")),
        reserved,
    )
}

/// A contract that can be kept whatever happens: with the fall-backs of all, what is reserved, one station that draws what it
/// likes, and those that go on with what they were told.
fn contract(chance: &mut Chance, depot: &Depot, options: &[StationOptions]) -> Contract {
    let power = |place: usize| {
        let station = &depot.stations[place];
        depot.station_power(station, station.max_current - station.fallback_current)
    };
    let all = 0..depot.stations.len();
    let goes_on = all.clone().filter(|place| options[*place].ignores_duration);
    let least = depot.fallback().power
        + goes_on.map(power).sum::<f64>()
        + all.map(power).fold(0.0, f64::max);
    let demand = least / 1000.0 * (100 + chance.below(30)) as f64 / 100.0;
    Contract {
        demand,
        target: None,
        tariff_book: "cfe".to_owned(),
        tariff: "GDMTH".to_owned(),
        division: "Bajío".to_owned(),
        prices: None,
    }
}

/// Steps after which a meter that does not answer counts as silent.
const STALE: u64 = 11;

/// A depot for some thousand steps; the number of those in which anything happens.
fn live(seed: u64) -> u64 {
    let mut chance = Chance(seed);
    let (mut depot, reserved) = depot(&mut chance);
    let count = depot.stations.len() as u64;
    let options: Vec<_> = depot
        .stations
        .iter()
        .map(|_| StationOptions {
            switches_phases: chance.one_in(4),
            ignores_duration: chance.one_in(8),
            limit_outlives_car: chance.one_in(3),
            ..StationOptions::default()
        })
        .collect();
    if chance.one_in(2) {
        depot.contract = Some(contract(&mut chance, &depot, &options));
    }
    let contract = depot.contract.clone();
    let mut sim = Sim::new(depot, &options, Rules::default());
    sim.into_quarter = Some(chance.below(900) as i64 * 1000);
    let mut silent = vec![0; sim.meters.len()];
    let mut waited = vec![0_u64; sim.devices.len()];
    let mut charged = vec![false; sim.devices.len()];
    let steps = 2000;
    for step in 0..steps + 3000 {
        // Trouble, then calm: everything obeys, nobody comes or goes.
        let trouble = step < steps;
        if trouble {
            happen(&mut sim, &mut chance, count, reserved);
        } else if step == steps {
            for device in &mut sim.devices {
                (device.linked, device.measured, device.lost, device.mute) =
                    (true, true, false, false);
                (device.draws, device.keeps_phases) = (None, false);
            }
            for meter in sim.meters.iter_mut().flatten() {
                meter.0 = true;
            }
        }
        sim.step();
        allowed(&sim, &mut silent, &format!("seed {seed}, step {step}"));
        if let Some(contract) = &contract {
            // Energy of whole quarters of an hour, in Wh, as the average power in kW.
            let average = sim.greatest * 4.0 / 1000.0;
            assert!(
                average <= contract.wanted() + 1e-6,
                "seed {seed}, step {step}: a quarter of an hour of {average} kW, {} are contracted",
                contract.wanted()
            );
        }
        for (place, heat) in sim.heat.iter().enumerate() {
            for (phase, heat) in heat.iter().enumerate() {
                assert!(
                    heat.part() < 1.0,
                    "seed {seed}, step {step}: breaker {} trips on phase {phase} with {:?} A",
                    sim.depot.circuits[place].id,
                    sim.flows[place]
                );
            }
        }
        // Two minutes after the trouble nothing flows that may not flow for hours.
        if step > steps + 120 {
            for (place, flows) in sim.flows.iter().enumerate() {
                let circuit = &sim.depot.circuits[place];
                for (phase, flow) in depot_config::depot::Phase::ALL.into_iter().zip(flows) {
                    assert!(
                        *flow <= circuit.continuous(phase) + 1e-6,
                        "seed {seed}, step {step}: {} carries {flow} A on {phase}",
                        circuit.id
                    );
                }
                let (back, may) = (sim.neutrals[place], circuit.neutral_limit);
                assert!(
                    may.is_none_or(|may| back <= may + 1e-6),
                    "seed {seed}, step {step}: {} carries {back} A on its neutral",
                    circuit.id
                );
            }
            for (place, device) in sim.devices.iter().enumerate() {
                charged[place] |= device.current > 0.0;
                let asks = device.car.is_some() && device.takes >= 6.0;
                waited[place] = if asks && !charged[place] {
                    waited[place] + 1
                } else {
                    0
                };
            }
        }
        for limit in &sim.decision.limits {
            assert!(
                limit.current == 0.0 || (6.0..=32.0).contains(&limit.current),
                "seed {seed}, step {step}: {limit:?}"
            );
        }
    }
    for (place, waited) in waited.iter().enumerate() {
        assert!(
            *waited == 0,
            "seed {seed}: station {place} never charged in {waited} s of calm"
        );
    }
    steps
}

/// What all that do as they are told may draw together is never above what their circuits may carry beside what is reserved;
/// and where a meter is silent, none of them may draw more than it falls back to. `silent` counts the steps, by meter.
fn allowed(sim: &Sim, silent: &mut [u64], at: &str) {
    for (silent, meter) in silent.iter_mut().zip(&sim.meters) {
        let speaks = meter.is_none_or(|(answers, _)| answers);
        *silent = if speaks { 0 } else { *silent + 1 };
    }
    let mut sums = vec![Currents::default(); sim.depot.circuits.len()];
    for (place, (limit, station)) in sim
        .decision
        .limits
        .iter()
        .zip(&sim.depot.stations)
        .enumerate()
    {
        let alarmed = sim.decision.alarms.iter().any(
            |alarm| matches!(alarm, Alarm::Disobeys(id) | Alarm::Unheard(id) if *id == station.id),
        );
        if alarmed || !sim.devices[place].linked || limit.current <= 0.0 {
            continue;
        }
        let mut current = [0.0; 3];
        current[..limit.phases].fill(limit.current);
        for (circuit, drawn) in sim.site.drawn(place, current) {
            sums[circuit].add(&drawn);
            assert!(
                silent[circuit] <= STALE || limit.current <= station.fallback_current,
                "{at}: {} may draw {} A below a meter that is silent",
                station.id,
                limit.current
            );
        }
    }
    for ((circuit, sum), (meter, silent)) in sim
        .depot
        .circuits
        .iter()
        .zip(&sums)
        .zip(sim.meters.iter().zip(silent))
    {
        // Where a meter speaks, what is reserved may be used.
        let reserved = if meter.is_none() || *silent > STALE {
            circuit.reserved
        } else {
            0.0
        };
        for phase in Phase::ALL {
            assert!(
                sum.on(phase) <= circuit.continuous(phase) - reserved + 1e-5,
                "{at}: {} A are given to stations on {phase} of {}, which may carry {} A beside {reserved} A",
                sum.on(phase),
                circuit.id,
                circuit.continuous(phase)
            );
        }
    }
}

fn happen(sim: &mut Sim, chance: &mut Chance, count: u64, reserved: f64) {
    if chance.one_in(20) {
        let place = chance.below(count) as usize;
        let phases = chance.of(&[Some(1), Some(3), None]);
        let takes = chance.of(&[10.0, 16.0, 32.0]);
        let critical = chance.one_in(8);
        let first = chance.one_in(8);
        let device = &mut sim.devices[place];
        device.delay = chance.of(&[0, 2_000, 5_000]);
        if device.car.is_some() {
            device.unplug();
        } else {
            let car = Request {
                critical,
                first,
                phases,
                ..Request::default()
            };
            device.plug(car, takes);
        }
    }
    if chance.one_in(30) {
        let place = chance.below(count) as usize;
        let wild = sim.devices.iter().any(|device| device.draws.is_some());
        let device = &mut sim.devices[place];
        match chance.below(7) {
            6 => device.keeps_phases = !device.keeps_phases,
            0 => device.linked = !device.linked,
            1 => device.measured = !device.measured,
            2 => device.lost = !device.lost,
            3 => device.mute = !device.mute,
            // One at a time: what a breaker cannot carry no manager can hold.
            _ if wild => {
                for device in &mut sim.devices {
                    device.draws = None;
                }
            }
            _ => device.draws = Some(32.0),
        }
    }
    if chance.one_in(60) {
        let place = chance.below(sim.base.len() as u64) as usize;
        sim.base[place] = [0; 3].map(|_| reserved * chance.below(101) as f64 / 100.0);
    }
    if chance.one_in(100) {
        let place = chance.below(sim.meters.len() as u64) as usize;
        if let Some((answers, _)) = &mut sim.meters[place] {
            *answers = !*answers;
        }
    }
    if chance.one_in(200) {
        let place = chance.below(count) as usize;
        sim.devices[place].forget();
    }
    if chance.one_in(500) {
        sim.restart();
    }
}

#[test]
fn no_breaker_trips_no_contract_is_exceeded_and_nobody_starves_whatever_happens() {
    let seconds = std::env::var("PATIO_TEST_SECONDS");
    let seconds = seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut steps) = (1, 0);
    if let Some(only) = std::env::var("PATIO_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        seed = only;
    }
    let first = seed;
    // As many as fit; a million of them when all are wanted, without those of the calm after each.
    let least = if std::env::var_os("PATIO_DEEP").is_some() {
        1_000_000
    } else {
        1
    };
    while steps < least || Instant::now() < end {
        steps += live(seed);
        seed += 1;
    }
    eprintln!("{} depots, {steps} steps", seed - first);
}
