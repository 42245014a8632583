//! What one run remembers for the next.

use std::path::Path;

use load_manager::Request;
use shared_protocol::Planned;

use super::{stay::Open, *};

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
        first.keep_plan(plan("two"), None, 5),
        Err(NoPlan::Station(key("two")))
    );
    let assumed = Some(Assumed {
        energy_wh: 20_000,
        leaves_after_s: 28_800,
    });
    assert_eq!(first.keep_plan(plan("one"), assumed, 5), Ok(()));
    assert_eq!(first.keep_plan(plan("one"), None, 4), Err(NoPlan::Older));
    let second = run(folder.path());
    assert_eq!(lock(&second.plan).as_ref().unwrap().assumed, assumed);
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
    assert_eq!(second.keep_plan(plan("one"), None, 4), Err(NoPlan::Older));
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

/// Two cars and a breaker for one of them.
struct Pair {
    control: Control,
    posts: [Post; 2],
    /// What each was told, in A.
    told: [f64; 2],
    now: Millis,
}

impl Pair {
    fn new(open: [Open; 2]) -> Self {
        let text = r#"
            depot = { id = "d", name = "D", time_zone = "UTC", latitude = 0.5, longitude = 0.5, voltage_system = "220Y/127", stops_without_gateway = true }
            circuit = [{ id = "main", breaker = 10 }]
            [[station]]
            id = "one"
            circuit = "main"
            phases = "L1"
            connectors = ["Type 1"]
            max_current = 8
            fallback_current = 0
            ocpp = { id = "CP-1", version = "1.6" }
            [[station]]
            id = "two"
            circuit = "main"
            phases = "L1"
            connectors = ["Type 1"]
            max_current = 8
            fallback_current = 0
            ocpp = { id = "CP-2", version = "1.6" }
        "#;
        let depot = Depot::parse(Path::new("depot.toml"), text);
        let depot = Arc::new(depot.unwrap_or_else(|faults| panic!("{faults}")));
        let control = Control::new(depot, Vouched::default(), &HashMap::new(), 0).unwrap();
        let posts = ["one", "two"].map(|id| control.post(&key(id)).unwrap());
        for (post, open) in posts.iter().zip(open) {
            post.connected(Some(1));
            post.falls_back(true);
            post.goes_on(Some(open));
        }
        Self {
            control,
            posts,
            told: [0.0; 2],
            now: 0,
        }
    }

    /// Seconds go by; tells for how many of them each was allowed to charge.
    fn pass(&mut self, seconds: i64) -> [i64; 2] {
        let mut allowed = [0; 2];
        for _ in 0..seconds {
            self.now += 1000;
            let each = self.posts.iter().zip(&mut self.told).zip(&mut allowed);
            for ((post, told), allowed) in each {
                if let Some(order) = post.order(self.now) {
                    *told = order.amperes;
                    post.acknowledge(order.number);
                }
                let said = [("Current.Import.L1", *told), ("ChargePointStatus", 2.0)];
                post.hear(self.now, said.into_iter());
                *allowed += i64::from(*told > 0.0);
            }
            assert!(self.told.iter().sum::<f64>() <= 8.0, "{:?}", self.told);
            self.control
                .step(self.now, Some(QUARTER_US + self.now * 1000));
        }
        allowed
    }
}

const HOUR_US: i64 = 3_600 * S;

/// Who of two cars charges first: `one`, which the plan knows by its token and of which it says this, or `two`, which began
/// an hour before the plan, with a token and after so much energy.
fn first(
    known: Planned,
    assumed: Option<Assumed>,
    (token, energy): (&str, f64),
) -> (Pair, &'static str) {
    let open = |token: &str, energy| Open {
        id: "t".to_owned(),
        token: Some(token.to_owned()),
        started_us: Some(QUARTER_US - HOUR_US),
        energy,
    };
    let mut pair = Pair::new([open("ONE", 0.0), open(token, energy)]);
    let plan = Plan {
        from_us: QUARTER_US,
        until_us: QUARTER_US + 24 * HOUR_US,
        stations: vec![
            known,
            Planned {
                station: key("two"),
                token: Some("TWO".to_owned()),
                critical: false,
                departure_us: None,
                energy_wh: None,
                power: Vec::new(),
            },
        ],
    };
    assert_eq!(pair.control.keep_plan(plan, assumed, 1), Ok(()));
    let found = match pair.pass(300) {
        [_, 0] => "one",
        [0, _] => "two",
        both => panic!("{both:?}"),
    };
    (pair, found)
}

fn leaves(hours: i64) -> Planned {
    Planned {
        station: key("one"),
        token: Some("ONE".to_owned()),
        critical: false,
        departure_us: Some(QUARTER_US + hours * HOUR_US),
        energy_wh: Some(5_000),
        power: Vec::new(),
    }
}

#[test]
fn a_car_that_nobody_knows_stands_where_one_stands_that_leaves_and_needs_what_is_assumed() {
    let night = Some(Assumed {
        energy_wh: 5_000,
        leaves_after_s: 8 * 3_600,
    });
    let stranger = ("???", 0.0);
    let who = |known, assumed, other| first(known, assumed, other).1;
    // It began an hour ago and leaves in seven.
    assert_eq!(who(leaves(12), night, stranger), "two");
    assert_eq!(who(leaves(6), night, stranger), "one");
    // Nothing is assumed, and all that the plan knows comes before it.
    assert_eq!(who(leaves(12), None, stranger), "one");
    // Who needs more has less time.
    let thirsty = Some(Assumed {
        energy_wh: 10_000,
        leaves_after_s: 8 * 3_600,
    });
    assert_eq!(who(leaves(6), thirsty, stranger), "two");
    // It comes before no critical one.
    let critical = Planned {
        critical: true,
        ..leaves(12)
    };
    assert_eq!(who(critical, night, stranger), "one");
    // One that the plan knows is what the plan says, though it says no departure.
    assert_eq!(who(leaves(12), night, ("TWO", 0.0)), "one");
    // It has had what was assumed, or was to be gone by now.
    assert_eq!(who(leaves(12), night, ("???", 5_000.0)), "one");
    let brief = night.map(|night| Assumed {
        leaves_after_s: 3_600,
        ..night
    });
    assert_eq!(who(leaves(12), brief, stranger), "one");
}

#[test]
fn nobody_starves_by_what_is_assumed_and_nobody_is_stopped_by_it() {
    let assumed = |leaves_after_s| {
        Some(Assumed {
            energy_wh: 5_000,
            leaves_after_s,
        })
    };
    // Behind one that leaves earlier, and before one that leaves later: each has its turn within an hour.
    for (hours, before) in [(6, "one"), (12, "two")] {
        let (mut pair, found) = first(leaves(hours), assumed(8 * 3_600), ("???", 0.0));
        assert_eq!(found, before);
        assert!(pair.control.shown().stations[1].assumed);
        let turns = pair.pass(3_300);
        assert!(turns.iter().all(|seconds| *seconds > 900), "{turns:?}");
    }
    // It charges when it was to leave, and goes on.
    let (mut pair, found) = first(leaves(12), assumed(3_600 + 310), ("???", 0.0));
    assert_eq!(found, "two");
    pair.pass(60);
    assert!(!pair.control.shown().stations[1].assumed);
    assert!(pair.control.shown().stations[1].limit > 0.0);
    assert!(pair.told[1] > 0.0, "{:?}", pair.told);
}
