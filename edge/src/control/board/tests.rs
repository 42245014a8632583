//! What devices say comes to the manager, and what it orders to them.

use std::path::Path;

use super::*;

const DEPOT: &str = r#"
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
    modbus = { address = "tcp://10.0.0.1", unit = 1, map = "patio-virtual-charger" }
"#;

fn board() -> Arc<Board> {
    let depot = Depot::parse(Path::new("depot.toml"), DEPOT);
    let depot = depot.unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(Board::new(&depot, Told::default()))
}

/// Settings that one run has told are known to the next, of the same device alone.
#[test]
fn what_a_device_took_is_not_written_to_it_again() {
    let first = board();
    let post = |board: &Arc<Board>| Post::of(board, &"one".parse().unwrap()).unwrap();
    let value = |setting| format!("{setting:?}");
    let (one, ceiling) = (post(&first), Setting::Ceiling);
    one.booted();
    one.identify("A");
    assert_eq!(one.unsettled(value), Some(ceiling));
    one.settled(ceiling, Some(value(ceiling)));
    // It does not know this one: it is asked once in a boot, and after the next.
    assert_eq!(one.unsettled(value), Some(Setting::Interval));
    one.settled(Setting::Interval, None);
    assert_eq!(one.unsettled(value), None);
    let told = first.newly_told().unwrap();
    assert_eq!(first.newly_told(), None);

    let depot = Depot::parse(Path::new("depot.toml"), DEPOT).unwrap();
    let after = |serial: Option<&str>, boots: bool, value: &dyn Fn(Setting) -> String| {
        let board = Arc::new(Board::new(&depot, told.clone()));
        let post = post(&board);
        if boots {
            post.booted();
        }
        if let Some(serial) = serial {
            post.identify(serial);
        }
        post.unsettled(value)
    };
    let interval = Some(Setting::Interval);
    assert_eq!(after(None, false, &value), interval);
    assert_eq!(after(Some("A"), true, &value), interval);
    assert_eq!(after(Some("B"), true, &value), Some(ceiling));
    assert_eq!(after(None, true, &value), Some(ceiling));
    assert_eq!(after(Some("A"), true, &|_| "other".into()), Some(ceiling));
}

/// It counts until each of its EVSEs that said so says something else, or another device stands there.
#[test]
fn one_that_claims_more_than_it_was_told_is_not_believed_to_fall_back() {
    let board = board();
    let post = Post::of(&board, &"one".parse().unwrap()).unwrap();
    let counts = || {
        let report = board.report(0, 0);
        assert_eq!(report.claims_more, report.never_falls_back);
        report.claims_more
    };
    post.identify("A");
    assert!(post.claims(1, true) && post.claims(2, true));
    assert!(!post.claims(2, true));
    assert!(post.claims(1, false) && counts());
    post.connected(None);
    post.identify("A");
    assert!(counts());
    assert!(post.claims(2, false) && !counts());
    post.claims(1, true);
    post.identify("B");
    assert!(!counts());
}

/// Says whole numbers of these signals.
fn say(board: &Arc<Board>, asset: &str, at: Millis, values: &[(&str, i32)]) {
    let post = Post::of(board, &asset.parse().unwrap()).unwrap();
    let values = values
        .iter()
        .map(|(name, value)| (*name, f64::from(*value)));
    post.hear(at, values);
}

#[test]
fn what_a_station_says_is_what_is_reported() {
    let board = board();
    let report = |now| board.inputs(now, None).stations[0].clone();
    assert_eq!(report(0), StationReport::default());
    for (status, car) in [
        (0, false),
        (1, true),
        (2, true),
        (3, true),
        (4, true),
        (5, false),
        (6, false),
        (7, false),
        (8, false),
    ] {
        say(&board, "one", 1000, &[("ChargePointStatus", status)]);
        let report = report(1000);
        assert!(report.linked);
        assert_eq!(report.car.is_some(), car, "{status}");
        let most = report.car.and_then(|car| car.max_current);
        assert_eq!(most, (status == 4).then_some(6.0), "{status}");
    }
    // Whether there is a car is not known any more, as long as anything else is said.
    say(&board, "one", 11_001, &[("Current.Import.L1", 9)]);
    let later = report(11_001);
    assert!(later.linked && later.car.is_some());
    let measured = later.measured.map(|measured| measured.current);
    assert_eq!(measured, Some([9.0, 0.0, 0.0]));
    assert!(!report(21_002).linked && report(21_002).car.is_none());
}

#[test]
fn a_station_that_is_connected_has_a_car_while_a_transaction_goes_on() {
    let board = board();
    let post = Post::of(&board, &"one".parse().unwrap()).unwrap();
    let report = || board.inputs(1_000_000, None).stations[0].clone();
    say(&board, "one", 0, &[("ChargePointStatus", 4)]);
    for (transactions, linked, most) in [
        (Some(0), true, None),
        (Some(1), true, Some(Some(6.0))),
        (None, false, None),
    ] {
        post.connected(transactions);
        let report = report();
        assert_eq!(report.linked, linked, "{transactions:?}");
        let car = report.car.map(|car| car.max_current);
        assert_eq!(car, most, "{transactions:?}");
    }
    // Whatever it said last, a transaction has a car.
    say(&board, "one", 0, &[("ChargePointStatus", 0)]);
    post.connected(Some(1));
    assert_eq!(report().car.map(|car| car.max_current), Some(None));
    assert!(!report().never_falls_back);
    post.falls_back(false);
    assert!(report().never_falls_back);
}

#[test]
fn power_stands_for_the_one_current_of_a_station() {
    let board = board();
    say(&board, "one", 1000, &[("Power.Active.Import", 2200)]);
    let measured = board.inputs(1000, None).stations[0].measured.unwrap();
    assert!((measured.current[0] - 10.0).abs() < 1e-9, "{measured:?}");
}

#[test]
fn a_meter_that_stands_still_says_nothing() {
    let board = board();
    let at = || {
        board
            .inputs(20_000, None)
            .meters
            .first()
            .map(|meter| meter.at)
    };
    let all = |volts| [("AphA", 5), ("AphB", -6), ("AphC", 7), ("PhVphA", volts)];
    say(&board, "grid", 1000, &all(127)[..2]);
    assert_eq!(at(), None);
    say(&board, "grid", 2000, &all(127));
    say(&board, "grid", 3000, &all(127));
    assert_eq!(at(), Some(2000));
    say(&board, "grid", 4000, &all(128));
    assert_eq!(at(), Some(4000));
    assert_eq!(board.inputs(4000, None).meters[0].current, [5.0, 6.0, 7.0]);
    // Where no voltage is read it may well stand still.
    say(&board, "grid", 5000, &all(128)[..3]);
    say(&board, "grid", 6000, &all(128)[..3]);
    assert_eq!(at(), Some(6000));
}

#[test]
fn an_order_waits_until_it_is_taken_and_the_newest_counts() {
    let board = board();
    let post = Post::of(&board, &"one".parse().unwrap()).unwrap();
    assert_eq!(post.order(0), None);
    for number in [1, 2] {
        let order = Order {
            number,
            amperes: 10.0,
            phases: 1,
            at: 0,
            lease: 60_000,
        };
        board.tell(0, order);
    }
    assert_eq!(post.order(0).map(|order| order.number), Some(2));
    assert_eq!(post.order(0), None);
    let acknowledged = || board.inputs(0, None).stations[0].acknowledged;
    assert_eq!(acknowledged(), None);
    post.acknowledge(2);
    assert_eq!(acknowledged(), Some(2));
    post.forgotten();
    assert_eq!(acknowledged(), None);
}
