//! Two hundred cars come in within twenty minutes, with all that goes wrong then.

use jiff::{Timestamp, ToSpan as _};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::*;

const CARS: usize = 200;
/// The instant of the question, in s since the first may come.
const NOW: f64 = 1800.0;

fn at(seconds: f64) -> Timestamp {
    let start: Timestamp = "2026-05-04T22:00:00Z".parse().unwrap();
    start + ((seconds * 1000.0) as i64).milliseconds()
}

/// What a station may give: the load manager changes it every few minutes.
struct Limits(Vec<(f64, f64)>);

impl Limits {
    fn new(random: &mut StdRng) -> Self {
        let (mut time, mut all) = (0.0, Vec::new());
        while time < NOW {
            let amperes: f64 = *[0.0, 6.0, 10.0, 13.0, 16.0, 20.0, 26.0, 32.0, 32.0]
                .get(random.random_range(0..9))
                .unwrap();
            all.push((time, amperes * 208.0));
            time += random.random_range(180.0..480.0);
        }
        Self(all)
    }

    fn at(&self, time: f64) -> f64 {
        let begun = self.0.iter().rev().find(|(from, _)| *from <= time);
        begun.map_or(0.0, |(_, watts)| *watts)
    }
}

struct Depot {
    sessions: Vec<Session>,
    vehicles: Vec<Vehicle>,
    signs: Signs,
    /// The vehicle of each session; `None`: a stranger's.
    truth: Vec<Option<i32>>,
}

/// A car that tells of itself every few seconds: with a cable from `plugged` on, taking what `taken` says.
fn vehicle(
    asset: i32,
    random: &mut StdRng,
    plugged: f64,
    capacity: f64,
    taken: impl Fn(f64) -> f64,
) -> Vehicle {
    let mut vehicle = Vehicle {
        asset,
        ..Vehicle::default()
    };
    let tells = random.random_range(0..100);
    if tells < 3 {
        return vehicle;
    }
    let interval = random.random_range(5.0..60.0);
    let (mut time, mut before) = (random.random_range(0.0..interval) - 600.0, None);
    let mut charge = random.random_range(15.0..70.0);
    while time < NOW {
        if time >= plugged && vehicle.plugs.is_empty() {
            vehicle.plugs.extend(before.map(|before| Plug {
                without: at(before),
                with: at(time),
                until: None,
            }));
        }
        let watts = taken(time);
        charge += watts.max(0.0) * interval / 3600.0 / 1000.0 / capacity * 100.0;
        let noise = 1.0 + random.random_range(-0.02..0.02);
        vehicle.power.push((at(time), watts * noise));
        vehicle
            .charge
            .push((at(time), (charge * 2.0).floor() / 2.0));
        before = Some(time);
        time += interval;
    }
    vehicle.capacity_kwh = (random.random_range(0..3) > 0).then_some(capacity);
    if tells < 8 {
        // One that does not tell of its cable.
        vehicle.plugs.clear();
    } else {
        vehicle.watched = Some((at(-600.0), at(before.unwrap_or(0.0))));
    }
    vehicle
}

fn depot(seed: u64) -> Depot {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut depot = Depot {
        sessions: Vec::new(),
        vehicles: Vec::new(),
        signs: Signs::default(),
        truth: Vec::new(),
    };
    let mut arrivals: Vec<f64> = (0..CARS + 6)
        .map(|_| random.random_range(0.0..1200.0))
        .collect();
    arrivals.sort_by(f64::total_cmp);
    let mut strangers: Vec<bool> = (0..CARS + 6).map(|number| number < 6).collect();
    strangers.shuffle(random);
    // Drivers that come one after the other hold each other's cards now and then.
    let mut cards: Vec<usize> = (0..arrivals.len()).collect();
    for number in (1..arrivals.len()).step_by(2) {
        if random.random_range(0..100) < 4 {
            cards.swap(number - 1, number);
        }
    }
    for (number, &plugged) in arrivals.iter().enumerate() {
        let asset = i32::try_from(number).unwrap() + 1;
        let station = asset + 1000;
        let limits = Limits::new(random);
        let (most, capacity) = *[
            (3300.0, 30.0),
            (6600.0, 40.0),
            (6600.0, 52.0),
            (7200.0, 64.0),
        ]
        .get(random.random_range(0..4))
        .unwrap();
        let efficiency = random.random_range(0.86..0.93);
        let shown = plugged + random.random_range(4.0..60.0);
        let begins = shown + random.random_range(3.0..20.0);
        let given = |time: f64| {
            if time < begins {
                0.0
            } else {
                limits.at(time).min(most)
            }
        };
        let clock = random.random_range(-4.0..4.0);
        let told = random.random_range(0..100) < 90;
        let token = match random.random_range(0..100) {
            0..10 => format!("vid:{number}"),
            10..85 => format!("CARD-{}", cards[number]),
            85..95 => "GUARD".to_owned(),
            _ => format!("new-{number}"),
        };
        let mut power = Vec::new();
        let mut time = shown;
        while time < NOW {
            let noise = 1.0 + random.random_range(-0.01..0.01);
            power.push((at(time + clock), given(time) * noise));
            time += 10.0;
        }
        depot.sessions.push(Session {
            id: number as i64,
            station,
            evse: 1,
            token: Some(token).filter(|_| !strangers[number]),
            plugged: told.then(|| at(plugged + clock + random.random_range(0.0..2.0))),
            began: at(shown + clock),
            ended: None,
            power,
        });
        depot.truth.push(Some(asset).filter(|_| !strangers[number]));
        if strangers[number] {
            continue;
        }
        depot.signs.cards.insert(format!("card-{number}"), asset);
        depot.signs.own_ids.insert(format!("vid:{number}"), asset);
        if random.random_range(0..100) < 60 {
            let usual = random.random_range(0..100) < 75;
            let other = 1001 + random.random_range(0..i32::try_from(CARS).unwrap());
            let place = if usual { station } else { other };
            depot.signs.places.insert((place, 1), asset);
        }
        let taken = |time: f64| efficiency * given(time);
        depot
            .vehicles
            .push(vehicle(asset, random, plugged, capacity, taken));
    }
    // Cars on the road, and cars that have stood there since noon.
    for number in 0..60 {
        let (plugged, draws) = if number < 40 {
            (1e9, -4000.0)
        } else {
            (-1e9, 0.0)
        };
        let mut one = vehicle(5000 + number, random, plugged, 50.0, |_| draws);
        one.plugs.clear();
        if number >= 40 {
            one.plugs.push(Plug {
                without: at(-36_010.0),
                with: at(-36_000.0),
                until: None,
            });
        }
        depot.vehicles.push(one);
    }
    depot.vehicles.shuffle(random);
    depot
}

#[test]
fn two_hundred_arrivals_at_once() {
    let (mut right, mut all, mut certain) = (0, 0, 0);
    for seed in 0..25 {
        let depot = depot(seed);
        let found = matches(at(NOW), &depot.sessions, &depot.vehicles, &depot.signs, &[]);
        assert_eq!(found.len(), depot.sessions.len());
        let mut of_seed = 0;
        for (one, truth) in found.iter().zip(&depot.truth) {
            of_seed += usize::from(one.vehicle == *truth);
            certain += usize::from(one.certain);
            assert!(
                !one.certain || one.vehicle == *truth,
                "seed {seed}: {one:?}, it is {truth:?}"
            );
        }
        let share = of_seed as f64 / found.len() as f64;
        assert!(share >= 0.98, "seed {seed}: {of_seed} of {}", found.len());
        right += of_seed;
        all += found.len();
    }
    println!(
        "{right} of {all} right ({:.2} %), {certain} certain, none of them wrong",
        100.0 * right as f64 / all as f64
    );
    assert!(
        certain * 3 > all,
        "certainty is hardly ever reached: {certain} of {all}"
    );
}

/// A session of a station that told of its cable at 100 s.
fn session(token: Option<&str>) -> Session {
    Session {
        id: 1,
        station: 7,
        evse: 1,
        token: token.map(str::to_owned),
        plugged: Some(at(100.0)),
        began: at(120.0),
        ended: None,
        power: (0..60)
            .map(|n| (at(130.0 + 10.0 * f64::from(n)), 6000.0))
            .collect(),
    }
}

fn charging(asset: i32, plugged: f64) -> Vehicle {
    let plug = Plug {
        without: at(plugged - 5.0),
        with: at(plugged + 5.0),
        until: None,
    };
    Vehicle {
        asset,
        watched: Some((at(-600.0), at(800.0))),
        plugs: vec![plug],
        power: (0..60)
            .map(|n| (at(130.0 + 10.0 * f64::from(n)), 5400.0))
            .collect(),
        ..Vehicle::default()
    }
}

fn parked(asset: i32) -> Vehicle {
    Vehicle {
        plugs: Vec::new(),
        power: Vec::new(),
        ..charging(asset, 0.0)
    }
}

fn card(of: i32) -> Signs {
    Signs {
        cards: HashMap::from([("card".to_owned(), of)]),
        ..Signs::default()
    }
}

#[test]
fn a_card_alone_is_likely_and_never_certain() {
    let silent = |asset| Vehicle {
        asset,
        ..Vehicle::default()
    };
    let found = matches(
        at(800.0),
        &[session(Some("CARD"))],
        &[silent(1), silent(2)],
        &card(2),
        &[],
    );
    assert_eq!(found[0].vehicle, Some(2));
    assert!(found[0].confidence > 0.9 && !found[0].certain, "{found:?}");
    assert_eq!(found[0].by, [Evidence::Card]);
}

#[test]
fn what_was_measured_is_believed_before_a_card() {
    // The card of 2, which stands without a cable; 1 was plugged in at that moment and takes that power.
    let vehicles = [charging(1, 100.0), parked(2)];
    let found = matches(
        at(800.0),
        &[session(Some("card"))],
        &vehicles,
        &card(2),
        &[],
    );
    assert_eq!(found[0].vehicle, Some(1), "{found:?}");
    assert!(!found[0].certain);
}

#[test]
fn a_car_that_says_who_it_is_is_believed_unless_it_is_elsewhere() {
    let signs = Signs {
        own_ids: HashMap::from([("0a0b0c0d0e0f".to_owned(), 2)]),
        ..Signs::default()
    };
    let said = [session(Some("0A0B0C0D0E0F"))];
    let silent = Vehicle {
        asset: 2,
        ..Vehicle::default()
    };
    let found = matches(at(800.0), &said, &[charging(1, 700.0), silent], &signs, &[]);
    assert_eq!((found[0].vehicle, found[0].certain), (Some(2), true));
    let found = matches(at(800.0), &said, &[parked(1), parked(2)], &signs, &[]);
    assert!(!found[0].certain, "{found:?}");
}

#[test]
fn twins_are_not_told_apart() {
    let twins = [charging(1, 100.0), charging(2, 101.0)];
    let other = Session {
        id: 2,
        station: 8,
        ..session(None)
    };
    let found = matches(
        at(800.0),
        &[session(None), other],
        &twins,
        &Signs::default(),
        &[],
    );
    assert!(found.iter().all(|one| !one.certain), "{found:?}");
    // One of them is known to be elsewhere: it is the other one.
    let found = matches(
        at(800.0),
        &[session(None)],
        &twins,
        &Signs::default(),
        &[(1, at(110.0), None)],
    );
    assert_eq!(found[0].vehicle, Some(2));
}

#[test]
fn a_cable_that_has_been_in_since_long_denies_nothing() {
    let again = Session {
        plugged: None,
        ..session(Some("card"))
    };
    let vehicles = [charging(1, -20_000.0), parked(2)];
    let found = matches(at(800.0), &[again], &vehicles, &card(1), &[]);
    assert_eq!(found[0].vehicle, Some(1), "{found:?}");
    assert_eq!(found[0].by, [Evidence::Power, Evidence::Card]);
}

#[test]
fn a_stranger_is_nobody() {
    let road = Vehicle {
        power: (0..60)
            .map(|n| (at(10.0 * f64::from(n)), -9000.0))
            .collect(),
        ..parked(1)
    };
    let found = matches(
        at(800.0),
        &[session(Some("unknown"))],
        &[road],
        &Signs::default(),
        &[],
    );
    assert_eq!((found[0].vehicle, found[0].certain), (None, false));
    let found = matches(at(800.0), &[session(None)], &[], &Signs::default(), &[]);
    assert_eq!(found[0].vehicle, None);
}

#[test]
fn a_car_that_stays_has_every_transaction_of_its_connector() {
    let first = Session {
        ended: Some(at(400.0)),
        ..session(None)
    };
    let second = Session {
        id: 2,
        plugged: Some(at(100.0)),
        began: at(420.0),
        ..session(None)
    };
    let found = matches(
        at(800.0),
        &[second, first],
        &[charging(1, 100.0), parked(2)],
        &Signs::default(),
        &[],
    );
    assert_eq!([found[0].vehicle, found[1].vehicle], [Some(1), Some(1)]);
    assert_eq!([found[0].session, found[1].session], [2, 1]);
}
