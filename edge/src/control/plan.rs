//! The cloud's plan: kept until its end, whatever becomes of the cloud. It gives cars an order and takes power from them;
//! when it is over, or nobody knows what time it is, they share what there is.

use load_manager::{Inputs, Millis};
use serde::{Deserialize, Serialize};
use shared_protocol::{AssetKey, Assumed, Plan};

use super::stay::Stayed;

/// A plan with the time of the command that brought it, in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) issued_us: i64,
    pub(super) plan: Plan,
    /// What is assumed of cars of which it says nothing. Files of the version before do not say.
    #[serde(default)]
    pub(super) assumed: Option<Assumed>,
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
/// that goes on there was begun; `stayed` is by station what is known of its car's stay. Tells by station whether it only
/// assumes something of its car.
pub(super) fn apply(
    held: Option<&Held>,
    inputs: &mut Inputs,
    (now, wall_us): (Millis, Option<i64>),
    stayed: &[Option<Stayed>],
    who: impl Fn(&AssetKey) -> Option<(usize, Option<String>)>,
) -> Vec<bool> {
    let mut known = vec![false; inputs.stations.len()];
    let mut guessed = known.clone();
    let held = held.zip(wall_us);
    let Some((held, wall_us)) = held.filter(|(held, wall_us)| held.plan.holds(*wall_us)) else {
        return guessed;
    };
    for planned in &held.plan.stations {
        let Some((place, token)) = who(&planned.station) else {
            continue;
        };
        let meant = planned.token.is_none() || planned.token == token;
        let Some(car) = inputs.stations[place].car.as_mut().filter(|_| meant) else {
            continue;
        };
        known[place] = true;
        car.critical |= planned.critical;
        car.planned = planned.power_at(wall_us).map(f64::from).or(car.planned);
        let departure = planned.departure_us.map(|at| now + (at - wall_us) / 1000);
        car.departure = departure.or(car.departure);
        car.energy = planned.energy_wh.map(f64::from).or(car.energy);
    }
    let Some(assumed) = held.assumed else {
        return guessed;
    };
    let cars = inputs.stations.iter_mut().zip(stayed).enumerate();
    for (place, (report, stayed)) in cars.filter(|(place, _)| !known[*place]) {
        let Some((car, stayed)) = report.car.as_mut().zip(*stayed) else {
            continue;
        };
        let departure = stayed.since + i64::from(assumed.leaves_after_s) * 1000;
        let energy = f64::from(assumed.energy_wh) - stayed.energy;
        // One that has had what was assumed, or is still there, is not what was assumed: it shares like any car of which
        // nothing is known. A departure that is over would put it before all others instead.
        if now < departure && energy > 0.0 {
            car.departure = Some(departure);
            car.energy = Some(energy);
            guessed[place] = true;
        }
    }
    guessed
}

#[cfg(test)]
mod tests {
    use load_manager::{Request, StationReport};
    use shared_protocol::Planned;

    use super::*;

    const S: i64 = 1_000_000;

    /// What is said of a car that began its transaction with the token `of`, by a plan for one that began with `token`; and
    /// whether that is assumed.
    fn told(
        token: Option<&str>,
        wall_us: Option<i64>,
        of: Option<&str>,
        stayed: Option<Stayed>,
    ) -> (Request, bool) {
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
        let assumed = Some(Assumed {
            energy_wh: 20_000,
            leaves_after_s: 3_600,
        });
        let held = Held {
            issued_us: 0,
            plan,
            assumed,
        };
        let report = StationReport {
            car: Some(Request::default()),
            ..StationReport::default()
        };
        let mut inputs = Inputs {
            stations: vec![report],
            ..Inputs::default()
        };
        let who = |_: &AssetKey| Some((0, of.map(str::to_owned)));
        let times = (7_000, wall_us);
        let guessed = apply(Some(&held), &mut inputs, times, &[stayed], who);
        (inputs.stations[0].car.clone().unwrap(), guessed[0])
    }

    fn said(token: Option<&str>, wall_us: Option<i64>, of: Option<&str>) -> Request {
        told(token, wall_us, of, None).0
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

    #[test]
    fn what_is_assumed_is_said_of_a_car_that_the_plan_does_not_know_until_it_is_over() {
        let wall = Some(140 * S);
        let stayed = |since, energy| Some(Stayed { since, energy });
        let unknown = |stayed| told(Some("A"), wall, Some("B"), stayed);
        let assumed = |departure, energy| {
            let car = Request {
                departure: Some(departure),
                energy: Some(energy),
                ..Request::default()
            };
            (car, true)
        };
        let nothing = (Request::default(), false);
        assert_eq!(unknown(stayed(2_000, 0.0)), assumed(3_602_000, 20_000.0));
        assert_eq!(unknown(stayed(-9_000, 19_999.0)), assumed(3_591_000, 1.0));
        // It has had what it needs; it is still there.
        assert_eq!(unknown(stayed(2_000, 20_000.0)), nothing);
        assert_eq!(unknown(stayed(7_000 - 3_600_000, 0.0)), nothing);
        assert_eq!(unknown(stayed(7_000 - 9_000_000, 0.0)), nothing);
        // Without a token nobody knows it either; one that the plan knows is what the plan says.
        assert!(told(Some("A"), wall, None, stayed(2_000, 0.0)).1);
        for (token, of) in [(Some("A"), Some("A")), (None, Some("B")), (None, None)] {
            let (car, guessed) = told(token, wall, of, stayed(2_000, 0.0));
            assert!(
                !guessed && car.critical && car.energy == Some(9_000.0),
                "{car:?}"
            );
        }
        // No plan holds, or nobody knows the time.
        for wall in [None, Some(99 * S), Some(200 * S)] {
            assert_eq!(
                told(Some("A"), wall, Some("B"), stayed(2_000, 0.0)),
                nothing
            );
        }
    }

    #[test]
    fn a_plan_that_the_version_before_kept_is_read() {
        let kept = r#"{"issued_us":5,"plan":{"from_us":1,"until_us":2,"stations":[{"station":"one","token":null,"critical":true,
            "departure_us":null,"energy_wh":null,"power":[[3,4]]}]}}"#;
        let held: Held = serde_json::from_str(kept).unwrap();
        assert_eq!((held.issued_us, held.assumed), (5, None));
        assert_eq!(held.plan.stations[0].power, [(3, 4)]);
    }
}
