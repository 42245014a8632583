//! The cloud's plan: kept until its end, whatever becomes of the cloud. It gives cars an order and takes power from them;
//! when it is over, or nobody knows what time it is, they share what there is.

use load_manager::{Inputs, Millis};
use serde::{Deserialize, Serialize};
use shared_protocol::{AssetKey, Plan};

/// A plan with the time of the command that brought it, in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) issued_us: i64,
    pub(super) plan: Plan,
}

/// Why a plan is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// This gateway limits nothing.
    #[error("this gateway holds no depot's limits: send the plan to the one that does")]
    NoDepot,
    /// It is about another depot.
    #[error("the depot has no station `{0}`: make the plan anew from the depot's file")]
    Station(AssetKey),
    /// It would take the place of one that was made later.
    #[error("a plan that was made later is held already: this one changes nothing")]
    Older,
    /// It could not be remembered.
    #[error("it cannot be written down: {0}")]
    Disk(String),
}

/// What the plan says now, of the stations with a car. `who` is a station's place, and the token with which the transaction
/// that goes on there was begun.
pub(super) fn apply(
    held: Option<&Held>,
    inputs: &mut Inputs,
    (now, wall_us): (Millis, Option<i64>),
    who: impl Fn(&AssetKey) -> Option<(usize, Option<String>)>,
) {
    let Some((held, wall_us)) = held.zip(wall_us) else {
        return;
    };
    if !held.plan.holds(wall_us) {
        return;
    }
    for planned in &held.plan.stations {
        let Some((place, token)) = who(&planned.station) else {
            continue;
        };
        let meant = planned.token.is_none() || planned.token == token;
        let Some(car) = inputs.stations[place].car.as_mut().filter(|_| meant) else {
            continue;
        };
        car.critical |= planned.critical;
        car.planned = planned.power_at(wall_us).map(f64::from).or(car.planned);
        let departure = planned.departure_us.map(|at| now + (at - wall_us) / 1000);
        car.departure = departure.or(car.departure);
        car.energy = planned.energy_wh.map(f64::from).or(car.energy);
    }
}

#[cfg(test)]
mod tests {
    use load_manager::{Request, StationReport};
    use shared_protocol::Planned;

    use super::*;

    const S: i64 = 1_000_000;

    fn said(token: Option<&str>, wall_us: Option<i64>, of: Option<&str>) -> Request {
        let plan = Plan {
            from_us: 100 * S,
            until_us: 200 * S,
            stations: vec![Planned {
                station: "one".parse().unwrap(),
                token: token.map(str::to_owned),
                critical: true,
                departure_us: Some(190 * S),
                energy_wh: Some(9_000),
                power: vec![(150 * S, 2_200)],
            }],
        };
        let held = Held { issued_us: 0, plan };
        let report = StationReport {
            car: Some(Request::default()),
            ..StationReport::default()
        };
        let mut inputs = Inputs {
            stations: vec![report],
            ..Inputs::default()
        };
        let who = |_: &AssetKey| Some((0, of.map(str::to_owned)));
        apply(Some(&held), &mut inputs, (7_000, wall_us), who);
        inputs.stations[0].car.clone().unwrap()
    }

    #[test]
    fn it_says_what_it_says_while_it_holds() {
        let now = said(None, Some(140 * S), None);
        assert!(now.critical);
        assert_eq!((now.planned, now.energy), (None, Some(9_000.0)));
        assert_eq!(now.departure, Some(57_000));
        assert_eq!(said(None, Some(150 * S), None).planned, Some(2_200.0));
        for wall in [None, Some(99 * S), Some(200 * S)] {
            assert_eq!(said(None, wall, None), Request::default(), "{wall:?}");
        }
    }

    #[test]
    fn what_is_said_of_a_token_is_said_of_no_other_car() {
        let wall = Some(140 * S);
        assert!(said(Some("A"), wall, Some("A")).critical);
        assert!(!said(Some("A"), wall, Some("B")).critical);
        assert!(!said(Some("A"), wall, None).critical);
    }
}
