//! What somebody at the depot wants of a station: its car first, or nothing for it. Wishes end by themselves: with the
//! car's transaction, or after some hours.

use std::collections::BTreeMap;

use load_manager::{Inputs, Millis};
use serde::{Deserialize, Serialize};
use shared_protocol::AssetKey;

const HOUR_US: i64 = 3_600_000_000;
/// A station without a car for so long has another one the next time.
pub(super) const GONE: Millis = 30_000;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// The car that stands there comes before all but critical ones.
    First,
    /// The car that stands there gets nothing.
    Stopped,
}

impl Want {
    /// For how long at most, in microseconds.
    const fn longest_us(self) -> i64 {
        match self {
            Self::First => 8 * HOUR_US,
            Self::Stopped => 12 * HOUR_US,
        }
    }
}

/// A wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wish {
    want: Want,
    /// The start of the machine to whose monotonic time `until_us` belongs.
    boot: u64,
    until_us: i64,
    /// The same by the time of day, where that was known.
    wall_until_us: Option<i64>,
    /// The transaction that it is about.
    transaction: Option<String>,
    /// Since when there is no car.
    #[serde(skip)]
    empty: Option<Millis>,
}

/// All of them by station.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Wishes(BTreeMap<AssetKey, Wish>);

impl Wishes {
    /// Times of an earlier start of the machine mean nothing in this one: what is left is bounded anew, and by the time of day.
    pub(super) fn of_boot(&mut self, boot: u64, now_us: i64) {
        for wish in self.0.values_mut().filter(|wish| wish.boot != boot) {
            wish.boot = boot;
            wish.until_us = now_us + wish.want.longest_us();
        }
    }

    pub(super) fn want(&self, station: &AssetKey) -> Option<Want> {
        self.0.get(station).map(|wish| wish.want)
    }

    /// Somebody wants this of a station from now on, or nothing any more.
    pub(super) fn set(
        &mut self,
        station: &AssetKey,
        want: Option<Want>,
        transaction: Option<String>,
        (boot, now_us, wall_us): (u64, i64, Option<i64>),
    ) {
        let Some(want) = want else {
            self.0.remove(station);
            return;
        };
        let wish = Wish {
            want,
            boot,
            until_us: now_us + want.longest_us(),
            wall_until_us: wall_us.map(|wall| wall + want.longest_us()),
            transaction,
            empty: None,
        };
        self.0.insert(station.clone(), wish);
    }

    /// Says them of the stations; `who` is a station's place, and the transaction that goes on there. Tells whether one has
    /// ended.
    pub(super) fn apply(
        &mut self,
        inputs: &mut Inputs,
        (now, wall_us): (Millis, Option<i64>),
        who: impl Fn(&AssetKey) -> Option<(usize, Option<String>)>,
    ) -> bool {
        let before = self.0.len();
        self.0.retain(|station, wish| {
            let Some((place, transaction)) = who(station) else {
                return false;
            };
            let report = &mut inputs.stations[place];
            let late = now * 1000 >= wish.until_us
                || wall_us
                    .zip(wish.wall_until_us)
                    .is_some_and(|(now, until)| now >= until);
            let another = wish.transaction.is_some() && transaction.is_some();
            if late || another && transaction != wish.transaction {
                return false;
            }
            let Some(car) = &mut report.car else {
                // One that nobody hears may have its car still.
                let since = wish.empty.filter(|_| report.linked).unwrap_or(now);
                wish.empty = report.linked.then_some(since);
                return now - since < GONE;
            };
            wish.empty = None;
            match wish.want {
                Want::First => car.first = true,
                Want::Stopped => car.max_current = Some(0.0),
            }
            true
        });
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use load_manager::{Request, StationReport};

    use super::*;

    fn inputs(linked: bool, car: bool) -> Inputs {
        let report = StationReport {
            linked,
            car: car.then(Request::default),
            ..StationReport::default()
        };
        Inputs {
            stations: vec![report],
            ..Inputs::default()
        }
    }

    fn one() -> AssetKey {
        "one".parse().unwrap()
    }

    /// A wish of `First` at 0 about this transaction.
    fn wishes(transaction: Option<&str>) -> Wishes {
        let mut wishes = Wishes::default();
        let transaction = transaction.map(str::to_owned);
        wishes.set(
            &one(),
            Some(Want::First),
            transaction,
            (7, 0, Some(HOUR_US)),
        );
        wishes
    }

    /// Whether it is said of the car now, and whether it has ended.
    fn said(
        wishes: &mut Wishes,
        mut inputs: Inputs,
        now: Millis,
        transaction: Option<&str>,
    ) -> (bool, bool) {
        let who = |_: &AssetKey| Some((0, transaction.map(str::to_owned)));
        let ended = wishes.apply(&mut inputs, (now, None), who);
        (
            inputs.stations[0].car.as_ref().is_some_and(|car| car.first),
            ended,
        )
    }

    #[test]
    fn it_ends_with_its_car() {
        let mut wishes = wishes(None);
        assert_eq!(
            said(&mut wishes, inputs(true, true), 0, None),
            (true, false)
        );
        // Nobody hears the station, for as long as you like.
        assert_eq!(
            said(&mut wishes, inputs(false, false), 1_000_000, None),
            (false, false)
        );
        assert_eq!(
            said(&mut wishes, inputs(true, false), 1_001_000, None),
            (false, false)
        );
        assert_eq!(
            said(&mut wishes, inputs(true, true), 1_002_000, None),
            (true, false)
        );
        assert_eq!(
            said(&mut wishes, inputs(true, false), 1_003_000, None),
            (false, false)
        );
        assert_eq!(
            said(&mut wishes, inputs(true, false), 1_033_000, None),
            (false, true)
        );
        assert_eq!(wishes, Wishes::default());
    }

    #[test]
    fn it_ends_with_its_transaction() {
        let mut wishes = wishes(Some("a"));
        assert_eq!(
            said(&mut wishes, inputs(true, true), 0, Some("a")),
            (true, false)
        );
        assert_eq!(
            said(&mut wishes, inputs(true, true), 1_000, Some("b")),
            (false, true)
        );
    }

    #[test]
    fn it_ends_after_some_hours_over_restarts_of_gateway_and_machine() {
        let hours = |count: i64| count * HOUR_US / 1000;
        let kept = serde_json::to_string(&wishes(None)).unwrap();
        let mut same: Wishes = serde_json::from_str(&kept).unwrap();
        same.of_boot(7, hours(5) * 1000);
        assert_eq!(
            said(&mut same, inputs(true, true), hours(7), None),
            (true, false)
        );
        assert_eq!(
            said(&mut same, inputs(true, true), hours(8), None),
            (false, true)
        );
        // The machine was started again: by the time of day it is over, without that it is bounded anew.
        let mut other: Wishes = serde_json::from_str(&kept).unwrap();
        other.of_boot(8, 0);
        let mut by_wall = other.clone();
        assert_eq!(
            said(&mut other, inputs(true, true), hours(7), None),
            (true, false)
        );
        let who = |_: &AssetKey| Some((0, None));
        let wall = Some(9 * HOUR_US);
        assert!(by_wall.apply(&mut inputs(true, true), (1, wall), who));
        assert_eq!(
            said(&mut other, inputs(true, true), hours(8), None),
            (false, true)
        );
    }
}
