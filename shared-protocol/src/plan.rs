//! What the cloud plans for a depot's stations: who leaves when, who must not be late, how much power when.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::AssetKey;

/// A plan. It holds from one instant to another; when it is over, cars share what there is. A plan gives cars an order and
/// takes power from them; no plan raises what a breaker, a contract or a meter allows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Plan {
    /// From when on it holds, in microseconds since 1970.
    pub from_us: i64,
    /// Until when, in microseconds since 1970.
    pub until_us: i64,
    /// What it says of stations; of others it says nothing (see [`Assumed`]).
    pub stations: Vec<Planned>,
}

/// What is assumed of a car of which a plan says nothing: the fleet's safe default. It is an order among cars like any
/// departure and need that are known, and no more: no power is taken from it, and it is never critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Assumed {
    /// Energy that it needs, in Wh.
    pub energy_wh: u32,
    /// How long after its transaction began it leaves, in s.
    pub leaves_after_s: u32,
}

/// What a plan says of the car at a station.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Planned {
    /// The station.
    pub station: AssetKey,
    /// It is said of the car whose transaction was begun with this token; `None`: of whichever stands there.
    pub token: Option<String>,
    /// The car comes before all others, with all that it wants.
    pub critical: bool,
    /// When it leaves, in microseconds since 1970.
    pub departure_us: Option<i64>,
    /// Energy that it needs, in Wh.
    pub energy_wh: Option<u32>,
    /// Power from an instant on, in microseconds since 1970 and in W, in the order of time. Before the first one, and
    /// without any, it gets its fair share.
    pub power: Vec<(i64, u32)>,
}

impl Plan {
    /// Whether it holds at this instant, in microseconds since 1970.
    pub fn holds(&self, now_us: i64) -> bool {
        (self.from_us..self.until_us).contains(&now_us)
    }
}

impl Planned {
    /// The power at this instant, in W.
    pub fn power_at(&self, now_us: i64) -> Option<u32> {
        let begun = self.power.iter().rev().find(|(from, _)| *from <= now_us);
        begun.map(|(_, watts)| *watts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_power_that_has_begun_counts() {
        let planned = Planned {
            station: "s".parse().unwrap(),
            token: None,
            critical: false,
            departure_us: None,
            energy_wh: None,
            power: vec![(10, 7000), (20, 0)],
        };
        let at = |now| planned.power_at(now);
        assert_eq!((at(9), at(10), at(19)), (None, Some(7000), Some(7000)));
        assert_eq!(at(1_000), Some(0));
        let plan = Plan {
            from_us: 5,
            until_us: 30,
            stations: vec![planned],
        };
        assert_eq!(
            [4, 5, 29, 30].map(|now| plan.holds(now)),
            [false, true, true, false]
        );
    }
}
