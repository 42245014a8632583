//! What one run remembers for the next.

use std::path::Path;

use load_manager::Request;
use shared_protocol::Planned;

use super::*;

const S: i64 = 1_000_000;
/// A quarter of an hour begins here, in microseconds since 1970.
const QUARTER_US: i64 = 2_000_000 * QUARTER * 1000;

fn depot() -> Arc<Depot> {
    let text = r#"
        depot = { id = "d", name = "D", time_zone = "UTC", latitude = 0.5, longitude = 0.5, voltage_system = "220Y/127" }
        circuit = [{ id = "main", breaker = 100 }]
        meter = [{ id = "grid", circuit = "main", modbus = { address = "tcp://10.0.0.1", unit = 3, map = "patio-virtual-meter" } }]
        [[station]]
        id = "one"
        circuit = "main"
        phases = "L1-L2"
        connectors = ["Type 1"]
        max_current = 32
        fallback_current = 6
        ocpp = { id = "CP-1", version = "1.6" }
    "#;
    let depot = Depot::parse(Path::new("depot.toml"), text);
    Arc::new(depot.unwrap_or_else(|faults| panic!("{faults}")))
}

/// A run that remembers in this folder.
fn run(folder: &Path) -> Control {
    let vouched = Vouched {
        remembered: Remembered::read(folder, 7, 0),
        ..Vouched::default()
    };
    Control::new(depot(), vouched, &HashMap::new(), 0).unwrap()
}

fn key(text: &str) -> AssetKey {
    text.parse().unwrap()
}

fn plan(station: &str) -> Plan {
    Plan {
        from_us: QUARTER_US,
        until_us: QUARTER_US + 600 * S,
        stations: vec![Planned {
            station: key(station),
            token: None,
            critical: true,
            departure_us: None,
            energy_wh: None,
            power: Vec::new(),
        }],
    }
}

#[test]
fn a_plan_holds_over_restarts_until_its_end_and_the_newest_counts() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path());
    assert_eq!(
        first.keep_plan(plan("two"), 5),
        Err(NoPlan::Station(key("two")))
    );
    assert_eq!(first.keep_plan(plan("one"), 5), Ok(()));
    assert_eq!(first.keep_plan(plan("one"), 4), Err(NoPlan::Older));
    let second = run(folder.path());
    let critical = |wall_us: Option<i64>| {
        let post = second.post(&key("one")).unwrap();
        post.connected(Some(1));
        let mut inputs = second.board.inputs(1000, None);
        assert_eq!(inputs.stations[0].car, Some(Request::default()));
        second.wanted(&mut inputs, 1000, wall_us);
        second.step(1000, wall_us);
        let critical = inputs.stations[0].car.as_ref().unwrap().critical;
        assert_eq!(second.shown().plan_until_us.is_some(), critical);
        critical
    };
    assert!(critical(Some(QUARTER_US)));
    assert!(critical(Some(QUARTER_US + 600 * S - 1)));
    assert!(!critical(Some(QUARTER_US + 600 * S)));
    assert!(!critical(None));
    assert_eq!(second.keep_plan(plan("one"), 4), Err(NoPlan::Older));
}

#[test]
fn the_window_goes_on_over_a_restart_as_the_most_that_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path());
    let second = |control: &Control, at: i64, amperes: f64| {
        let now = at * 1000;
        let volts = 127.0 + (at % 7) as f64 / 10.0;
        let said = [
            ("AphA", amperes),
            ("AphB", amperes),
            ("AphC", amperes),
            ("PhVphA", volts),
        ];
        control
            .post(&key("grid"))
            .unwrap()
            .hear(now, said.into_iter());
        control.step(now, Some(QUARTER_US + at * S));
    };
    for at in 0..=300 {
        second(&first, at, if at == 50 { 20.0 } else { 10.0 });
    }
    first.write_down(300_000, &mut None).unwrap();
    let before = lock(&first.manager).window().unwrap();
    assert_eq!((before.into, before.unseen), (300_000, 0));

    // A minute later another run goes on with it; as long as it does not know the time of day it waits.
    let other = run(folder.path());
    other.step(350_000, None);
    second(&other, 360, 10.0);
    let after = lock(&other.manager).window().unwrap();
    assert_eq!((after.into, after.unseen), (360_000, 60_000));
    assert_eq!(
        (after.energy, after.greatest),
        (before.energy, before.greatest)
    );
    // A run in the next quarter of an hour begins anew.
    let later = run(folder.path());
    second(&later, 901, 10.0);
    let begun = lock(&later.manager).window().unwrap();
    assert_eq!((begun.energy, begun.unseen), (0.0, 1_000));
    // What is damaged is as good as none.
    std::fs::write(folder.path().join("window.json"), "{").unwrap();
    let damaged = run(folder.path());
    second(&damaged, 400, 10.0);
    let unseen = lock(&damaged.manager).window().unwrap().unseen;
    assert_eq!(unseen, 400_000);
}
