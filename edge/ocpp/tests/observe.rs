//! Transactions of a station that tells none, against a station that is simulated second by second.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use ocpp::{Memory, Now, Observer, Rest, Seen, Transaction, Wh, Write};
use proptest::prelude::*;
use serde_json::Value;

const STATION: &str = "s-1";
const SECOND: Duration = Duration::from_secs(1);
/// A socket stays free, and a car stays, for so many seconds at least.
const SWAP: u64 = 9;
const EPOCH: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn now(second: u64) -> Now {
    let wall = EPOCH.checked_add(SignedDuration::from_secs(second.cast_signed()));
    Now {
        mono: Duration::from_secs(second),
        wall: wall.ok(),
        least: EPOCH,
    }
}

fn seen(status: i64, register: i64) -> Seen {
    Seen {
        status,
        register: Wh::whole(register),
    }
}

/// What the book and the cloud have.
#[derive(Default)]
struct Stored {
    states: Vec<Transaction>,
    steps: Vec<(&'static str, Value)>,
    rest: Option<Rest>,
}

impl Stored {
    fn take(&mut self, writes: Vec<Write>, rest: Option<Rest>) {
        if writes.is_empty() && self.rest.is_some() {
            return;
        }
        self.rest = rest;
        for write in writes {
            self.states.retain(|one| one.id != write.transaction.id);
            self.states.push(write.transaction);
            self.steps.push((write.entry.kind, write.entry.payload));
        }
    }

    fn look(&mut self, observer: &mut Observer, second: u64, status: i64, register: i64) {
        let writes = observer.look(now(second), seen(status, register));
        self.take(writes, observer.rest());
    }

    fn observer(&self, run: u64) -> Observer {
        let memory = Memory::new(self.states.clone());
        Observer::new(STATION, &memory, self.rest, SECOND, run)
    }

    /// Of each transaction, in the order of their first steps: its latest step, whether it has ended, and whether it may be of
    /// several cars.
    fn told(&self) -> Vec<(Value, bool, bool)> {
        let mut order = Vec::new();
        let mut all = BTreeMap::<String, (Value, bool, bool)>::new();
        for (kind, step) in &self.steps {
            let name = step["transaction"].as_str().unwrap().to_owned();
            let doubtful = step.get("incomplete").is_some();
            let found = all.entry(name.clone()).or_insert_with(|| {
                order.push(name);
                (Value::Null, false, false)
            });
            let number = found.0.get("entry").and_then(Value::as_u64);
            assert_eq!(
                step["entry"].as_u64(),
                Some(number.map_or(0, |number| number + 1))
            );
            *found = (
                step.clone(),
                found.1 || *kind == "transaction.ended",
                found.2 || doubtful,
            );
        }
        order.iter().map(|name| all[name].clone()).collect()
    }
}

fn mwh(step: &Value) -> i64 {
    step["energy_mwh"].as_i64().unwrap()
}

#[test]
fn a_car_comes_charges_and_leaves() {
    let mut stored = Stored::default();
    let mut observer = stored.observer(7);
    for (last, status, register) in [(0u64, 0, 500), (1, 1, 500), (2, 2, 502), (70, 2, 560)] {
        // It is read every second; for a minute nobody looks.
        for second in last.saturating_sub(5)..=last {
            stored.look(&mut observer, second, status, register);
        }
    }
    stored.look(&mut observer, 71, 0, 561);
    let told = stored.told();
    let [(last, ended, doubtful)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (mwh(last), last["register_mwh"].as_i64()),
        (61_000, Some(561_000))
    );
    assert_eq!(
        (last["station"].as_str(), last["evse"].as_i64()),
        (Some(STATION), Some(1))
    );
    assert_eq!(last["reason"], "EVDisconnected");
    assert_eq!(last["time"], "2027-01-15T08:01:11Z");
    assert!(ended & doubtful, "nobody looked for a minute: {last}");
    assert!(last.get("token").is_none());
}

#[test]
fn what_a_register_shows_late_belongs_to_the_car_that_has_left() {
    let mut stored = Stored::default();
    let mut observer = stored.observer(7);
    let looks = [
        (0, 0, 10),
        (1, 2, 10),
        (2, 2, 12),
        (3, 0, 12),
        (6, 0, 13),
        (9, 0, 15),
    ];
    for (second, status, register) in looks {
        stored.look(&mut observer, second, status, register);
    }
    // Minutes later it is what the station itself takes.
    for second in 10..200 {
        let register = if second < 150 { 15 } else { 16 };
        stored.look(&mut observer, second, 0, register);
    }
    stored.look(&mut observer, 200, 1, 16);
    let told = stored.told();
    let energies: Vec<_> = told.iter().map(|(step, ..)| mwh(step)).collect();
    assert_eq!(energies, [5000, 0], "{told:?}");
    assert_eq!(
        told[0].0["time"], "2027-01-15T08:00:03Z",
        "it ended when it ended"
    );
    assert!(told[0].1 && !told[0].2);
}

#[test]
fn a_fault_says_nothing_of_the_car() {
    let mut stored = Stored::default();
    let mut observer = stored.observer(7);
    let looks = [
        (0, 0, 10),
        (1, 2, 11),
        (3, 8, 0),
        (5, 7, 99),
        (8, 2, 12),
        (9, 5, 13),
        (10, 2, 14),
    ];
    for (second, status, register) in looks {
        stored.look(&mut observer, second, status, register);
    }
    let told = stored.told();
    let energies: Vec<_> = told.iter().map(|(step, ..)| mwh(step)).collect();
    // After Finishing there is another one, of the same car or not.
    assert_eq!(energies, [3000, 1000], "{told:?}");
    assert!(told[0].1 && !told[0].2 && !told[1].1);
    assert!(
        told[0].0.get("reason").is_none(),
        "Finishing has no reason of its own"
    );
}

#[test]
fn a_register_that_lies_for_a_moment_costs_nothing() {
    let mut stored = Stored::default();
    let mut observer = stored.observer(7);
    let mut look = |second, status, register| {
        stored.look(&mut observer, second, status, register);
    };
    look(0, 0, 5_000_000);
    look(1, 2, 5_000_000);
    look(2, 2, 5_000_010);
    // It starts anew and shows nothing, then what another register has.
    for second in 3..8 {
        look(second, 2, 0);
    }
    look(8, 2, 900_000_000);
    look(9, 2, 5_000_020);
    look(10, 0, 5_000_021);
    let told = stored.told();
    let [(last, true, false)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (mwh(last), last["register_resets"].as_i64()),
        (21_000, Some(0))
    );
}

#[test]
fn another_meter_counts_from_where_it_stands() {
    let mut stored = Stored::default();
    let mut observer = stored.observer(7);
    let mut look = |second, status, register| {
        stored.look(&mut observer, second, status, register);
    };
    look(0, 0, 5_000_000);
    look(1, 2, 5_000_000);
    look(2, 2, 5_000_010);
    for second in 3..100 {
        look(second, 2, 700 + second as i64);
    }
    look(100, 0, 800);
    look(101, 0, 800);
    let told = stored.told();
    let [(last, true, _)] = &told[..] else {
        panic!("{told:?}");
    };
    // 10 Wh before; and since the 30 s in which it was not believed, which say that there was something: not whole.
    assert_eq!(
        (mwh(last), last["register_resets"].as_i64()),
        (77_000, Some(1))
    );
}

#[test]
fn a_beginning_has_its_time_once_that_is_known() {
    let mut observer = Stored::default().observer(7);
    let dark = |second| Now {
        wall: None,
        ..now(second)
    };
    observer.look(dark(0), seen(0, 10));
    let begun = observer.look(dark(1), seen(2, 10));
    assert!(begun[0].entry.payload.get("started").is_none());
    observer.look(now(5), seen(2, 11));
    let ended = observer.look(now(6), seen(0, 12));
    assert_eq!(ended[0].entry.payload["started"], "2027-01-15T08:00:01Z");
}

/// What happens in a second, besides that it passes.
#[derive(Clone, Copy, Debug)]
enum Act {
    Come,
    Leave,
    Charge(i64),
    Look,
    Nothing(u64),
    /// The gateway stops in order, or is killed, and is away for so many seconds.
    Restart(bool, u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Come),
        2 => Just(Act::Leave),
        4 => (1i64..40).prop_map(Act::Charge),
        12 => Just(Act::Look),
        2 => (1u64..15).prop_map(Act::Nothing),
        1 => (any::<bool>(), 0u64..40).prop_map(|(killed, away)| Act::Restart(killed, away)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn energy_is_what_the_register_counts_and_what_is_whole_is_one_car(acts in proptest::collection::vec(act(), 1..300)) {
        let (mut second, mut register, mut car, mut vacant) = (0, 1000, None::<(u64, i64)>, SWAP);
        // Of each car: when it came and left, and its energy.
        let mut cars = Vec::new();
        let (mut stored, mut run) = (Stored::default(), 0);
        let mut observer = stored.observer(run);
        stored.look(&mut observer, 0, 0, register);
        let closing = [Act::Nothing(SWAP), Act::Leave, Act::Look];
        for act in acts.into_iter().chain(closing) {
            second += 1;
            vacant += 1;
            match act {
                Act::Come if car.is_none() && vacant >= SWAP => car = Some((second, register)),
                Act::Leave => if let Some((came, first)) = car.take_if(|(came, _)| *came + SWAP <= second) {
                    cars.push((came, second, (register - first) * 1000));
                    vacant = 0;
                },
                Act::Charge(wh) if car.is_some() => register += wh,
                Act::Come | Act::Charge(_) => {}
                Act::Look => {
                    let status = if car.is_some() { 2 } else { 0 };
                    stored.look(&mut observer, second, status, register);
                }
                Act::Nothing(more) => (second, vacant) = (second + more, vacant + more),
                Act::Restart(killed, away) => {
                    if !killed {
                        stored.rest = observer.rest();
                    }
                    (second, vacant, run) = (second + away, vacant + away, run + 1);
                    observer = stored.observer(run);
                }
            }
        }
        let told = stored.told();
        prop_assert!(told.iter().all(|(_, ended, _)| *ended));
        let sum: i64 = told.iter().map(|(step, ..)| mwh(step)).sum();
        prop_assert_eq!(sum, (register - 1000) * 1000);
        for (step, _, doubtful) in &told {
            let time = |name: &str| {
                let time: Option<Timestamp> = step.get(name).map(|text| text.as_str().unwrap().parse().unwrap());
                time.map(|time| (time.as_second() - EPOCH.as_second()).cast_unsigned())
            };
            let Some(started) = time("started").filter(|_| !doubtful) else {
                prop_assert!(*doubtful, "{step} has no beginning, and does not say why");
                continue;
            };
            // The car that was there when it began, with all its energy; or nothing of one that left before anybody looked again.
            let car = cars.iter().find(|(came, left, _)| (*came..=*left).contains(&started));
            let (_, left, energy) = car.unwrap();
            prop_assert_eq!(*energy, mwh(step), "{}", step);
            prop_assert!(time("time") >= Some(*left));
        }
    }
}
