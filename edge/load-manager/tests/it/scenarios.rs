//! `tests/scenarios/*.toml`: a depot, what happens, what has to come of it.

use std::{collections::BTreeMap, fs, path::Path};

use depot_config::depot::Depot;
use load_manager::{Request, Rules, StationOptions};
use serde::Deserialize;
use toml::{Table, Value};

use crate::sim::Sim;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    about: String,
    #[serde(default)]
    depot: Table,
    contract: Option<Table>,
    circuit: Vec<Table>,
    /// Circuits with a meter.
    #[serde(default)]
    meters: Vec<String>,
    station: Vec<Table>,
    #[serde(default)]
    unbalance: Option<f64>,
    /// Seconds of the quarter of an hour that have passed when it begins.
    into_quarter: Option<i64>,
    event: Vec<Event>,
    expect: Vec<Expect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    at: i64,
    /// The stations that are meant.
    #[serde(default)]
    stations: Vec<String>,
    plug: Option<Car>,
    unplug: Option<bool>,
    takes: Option<f64>,
    linked: Option<bool>,
    measured: Option<bool>,
    lost: Option<bool>,
    mute: Option<bool>,
    /// What it draws whatever it is told; negative: it obeys again.
    draws: Option<f64>,
    delay: Option<i64>,
    keeps_phases: Option<bool>,
    forgets: Option<bool>,
    /// What it says that it offers.
    offers: Option<f64>,
    planned: Option<f64>,
    critical: Option<bool>,
    first: Option<bool>,
    circuit: Option<String>,
    base: Option<[f64; 3]>,
    meter: Option<bool>,
    restart: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Car {
    takes: f64,
    #[serde(default)]
    critical: bool,
    #[serde(default)]
    first: bool,
    planned: Option<f64>,
    /// Seconds from the beginning.
    departure: Option<i64>,
    energy: Option<f64>,
    state_of_charge: Option<f64>,
    phases: Option<usize>,
}

/// Bounds of a value: itself or `[least, most]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Range {
    Exactly(f64),
    Between(f64, f64),
}

impl Range {
    fn has(&self, value: f64) -> bool {
        match self {
            Self::Exactly(one) => (value - one).abs() < 1e-6,
            Self::Between(least, most) => (*least - 1e-6..=*most + 1e-6).contains(&value),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    at: i64,
    #[serde(default)]
    limits: BTreeMap<String, Range>,
    #[serde(default)]
    phases: BTreeMap<String, usize>,
    /// What flows, by phase.
    #[serde(default)]
    flows: BTreeMap<String, [Range; 3]>,
    /// What flows through the neutral.
    #[serde(default)]
    neutral: BTreeMap<String, Range>,
    /// The most that flowed so far on any phase.
    #[serde(default)]
    most: BTreeMap<String, f64>,
    /// How often cars have started so far, at most.
    #[serde(default)]
    starts: BTreeMap<String, usize>,
    /// How often a station was written to so far, at most.
    #[serde(default)]
    writes: BTreeMap<String, usize>,
    /// Exactly these.
    alarms: Option<Vec<String>>,
    /// Greatest average of a whole quarter of an hour so far, in kW.
    quarter: Option<f64>,
    /// Sum of all limits.
    sum: Option<Range>,
}

fn options(table: &mut Table) -> StationOptions {
    let mut options = StationOptions::default();
    let Some(Value::Table(given)) = table.remove("options") else {
        return options;
    };
    for (key, value) in given {
        match key.as_str() {
            "step" => options.step = value.as_float().unwrap(),
            "switches_phases" => options.switches_phases = value.as_bool().unwrap(),
            "limit_outlives_car" => options.limit_outlives_car = value.as_bool().unwrap(),
            "ignores_duration" => options.ignores_duration = value.as_bool().unwrap(),
            "writes_per_day" => {
                options.writes_per_day = value.as_integer().unwrap().try_into().unwrap();
            }
            other => panic!("options: {other}"),
        }
    }
    options
}

fn depot(scenario: &mut Scenario) -> (Depot, Vec<StationOptions>) {
    let base: Table = "id = \"d\"\nname = \"D\"\ntime_zone = \"UTC\"\nlatitude = 0.5\nlongitude = 0.5\nvoltage_system = \"400Y/230\"\n"
        .parse()
        .unwrap();
    let mut site = base;
    site.extend(std::mem::take(&mut scenario.depot));
    let mut all = Table::new();
    all.insert("depot".to_owned(), Value::Table(site));
    if let Some(contract) = &scenario.contract {
        all.insert("contract".to_owned(), Value::Table(contract.clone()));
    }
    let tables = |list: &[Table]| Value::Array(list.iter().cloned().map(Value::Table).collect());
    all.insert("circuit".to_owned(), tables(&scenario.circuit));
    let mut options_of = Vec::new();
    for (place, station) in scenario.station.iter_mut().enumerate() {
        options_of.push(options(station));
        let mut ocpp = Table::new();
        ocpp.insert("id".to_owned(), format!("CP{place}").into());
        ocpp.insert("version".to_owned(), "1.6".into());
        station.entry("ocpp").or_insert(Value::Table(ocpp));
        station
            .entry("connectors")
            .or_insert(Value::Array(vec!["CCS2".into()]));
        station
            .entry("fallback_current")
            .or_insert(Value::Integer(6));
        station.entry("max_current").or_insert(Value::Integer(32));
        station.entry("circuit").or_insert("main".into());
    }
    all.insert("station".to_owned(), tables(&scenario.station));
    let meters = scenario.meters.iter().enumerate().map(|(place, circuit)| {
        format!(
            "id = \"meter-{circuit}\"\ncircuit = \"{circuit}\"\nmodbus = {{ address = \"tcp://10.0.0.1:502\", unit = {}, map = \"patio-virtual-meter\" }}",
            place + 1
        )
        .parse::<Table>()
        .unwrap()
    });
    all.insert("meter".to_owned(), tables(&meters.collect::<Vec<_>>()));
    let text = toml::to_string(&all).unwrap();
    let depot = Depot::parse(Path::new("scenario.toml"), &text)
        .unwrap_or_else(|faults| panic!("{}\n{faults}\n{text}", scenario.about));
    (depot, options_of)
}

impl Event {
    fn apply(&self, sim: &mut Sim, begin: i64) {
        for id in &self.stations {
            let place = sim.depot.stations.iter().position(|s| s.id.as_str() == id);
            let device = &mut sim.devices[place.unwrap_or_else(|| panic!("no station {id}"))];
            if let Some(car) = &self.plug {
                let request = Request {
                    critical: car.critical,
                    first: car.first,
                    planned: car.planned,
                    departure: car.departure.map(|at| begin + at * 1000),
                    energy: car.energy,
                    state_of_charge: car.state_of_charge,
                    phases: car.phases,
                    max_current: None,
                };
                device.plug(request, car.takes);
            }
            if self.unplug == Some(true) {
                device.unplug();
            }
            if self.forgets == Some(true) {
                device.forget();
            }
            device.offers = self.offers.or(device.offers);
            device.takes = self.takes.unwrap_or(device.takes);
            device.linked = self.linked.unwrap_or(device.linked);
            device.measured = self.measured.unwrap_or(device.measured);
            device.lost = self.lost.unwrap_or(device.lost);
            device.mute = self.mute.unwrap_or(device.mute);
            device.keeps_phases = self.keeps_phases.unwrap_or(device.keeps_phases);
            device.delay = self.delay.map_or(device.delay, |delay| delay * 1000);
            if let Some(draws) = self.draws {
                device.draws = (draws >= 0.0).then_some(draws);
            }
            if let Some(car) = &mut device.car {
                car.planned = self.planned.or(car.planned);
                car.critical = self.critical.unwrap_or(car.critical);
                car.first = self.first.unwrap_or(car.first);
            }
        }
        if let Some(id) = &self.circuit {
            let place = sim
                .depot
                .circuits
                .iter()
                .position(|c| c.id.as_str() == id)
                .unwrap();
            sim.base[place] = self.base.unwrap_or(sim.base[place]);
            if let (Some(answers), Some((meter, _))) = (self.meter, &mut sim.meters[place]) {
                *meter = answers;
            }
        }
        if self.restart == Some(true) {
            sim.restart();
        }
    }
}

impl Expect {
    /// What is not so.
    fn differs(&self, sim: &Sim) -> Vec<String> {
        let mut differs = Vec::new();
        let station = |id: &str| {
            let place = sim.depot.stations.iter().position(|s| s.id.as_str() == id);
            place.unwrap_or_else(|| panic!("no station {id}"))
        };
        let circuit = |id: &str| {
            let place = sim.depot.circuits.iter().position(|c| c.id.as_str() == id);
            place.unwrap_or_else(|| panic!("no circuit {id}"))
        };
        let limits = &sim.decision.limits;
        for (id, range) in &self.limits {
            let found = limits[station(id)].current;
            if !range.has(found) {
                differs.push(format!("limit of {id}: {found}"));
            }
        }
        for (id, phases) in &self.phases {
            let found = limits[station(id)].phases;
            if found != *phases {
                differs.push(format!("phases of {id}: {found}"));
            }
        }
        for (id, ranges) in &self.flows {
            let found = sim.flows[circuit(id)];
            if ranges
                .iter()
                .zip(found)
                .any(|(range, found)| !range.has(found))
            {
                differs.push(format!("flow of {id}: {found:.2?}"));
            }
        }
        for (id, range) in &self.neutral {
            let found = sim.neutrals[circuit(id)];
            if !range.has(found) {
                differs.push(format!("neutral of {id}: {found:.2}"));
            }
        }
        for (id, most) in &self.most {
            let found = sim.most[circuit(id)].into_iter().fold(0.0, f64::max);
            if found > most + 1e-6 {
                differs.push(format!("most of {id}: {found:.2}"));
            }
        }
        for (id, most) in &self.starts {
            let found = sim.devices[station(id)].starts;
            if found > *most {
                differs.push(format!("starts of {id}: {found}"));
            }
        }
        for (id, most) in &self.writes {
            let found = sim.devices[station(id)].writes;
            if found > *most {
                differs.push(format!("writes of {id}: {found}"));
            }
        }
        if let Some(alarms) = &self.alarms {
            let found: Vec<_> = sim
                .decision
                .alarms
                .iter()
                .map(|alarm| {
                    format!("{alarm:?}")
                        .replace("AssetKey(", "")
                        .replace(['"', ')', '(', ','], " ")
                })
                .collect();
            let found: Vec<_> = found
                .iter()
                .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            if found != *alarms {
                differs.push(format!("alarms: {found:?}"));
            }
        }
        if let Some(most) = self.quarter
            && sim.greatest * 4.0 / 1000.0 > most
        {
            differs.push(format!("quarter: {:.1} kW", sim.greatest * 4.0 / 1000.0));
        }
        if let Some(range) = &self.sum {
            let found: f64 = limits.iter().map(|limit| limit.current).sum();
            if !range.has(found) {
                differs.push(format!("sum: {found}"));
            }
        }
        differs
    }
}

fn run(text: &str) -> Vec<String> {
    let mut scenario: Scenario =
        toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (depot, options) = depot(&mut scenario);
    let rules = Rules {
        unbalance: scenario.unbalance,
        ..Rules::default()
    };
    let mut sim = Sim::new(depot, &options, rules);
    sim.into_quarter = scenario.into_quarter.map(|seconds| seconds * 1000);
    let begin = sim.now;
    let last = scenario
        .expect
        .iter()
        .map(|expect| expect.at)
        .max()
        .unwrap();
    let mut wrong = Vec::new();
    for second in 0..=last {
        for event in scenario.event.iter().filter(|event| event.at == second) {
            event.apply(&mut sim, begin);
        }
        sim.step();
        for expect in scenario.expect.iter().filter(|expect| expect.at == second) {
            wrong.extend(
                expect
                    .differs(&sim)
                    .iter()
                    .map(|what| format!("at {second} s: {what}")),
            );
        }
        for (place, heat) in sim.heat.iter().enumerate() {
            if heat.iter().any(|heat| heat.part() >= 1.0) {
                wrong.push(format!(
                    "at {second} s: breaker {} trips",
                    sim.depot.circuits[place].id
                ));
                return wrong;
            }
        }
    }
    wrong
}

#[test]
fn what_is_expected_comes_of_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() >= 40, "{} scenarios", names.len());
    let mut wrong = Vec::new();
    for path in names {
        let found = run(&fs::read_to_string(&path).unwrap());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        wrong.extend(found.into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
