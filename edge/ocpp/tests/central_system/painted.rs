//! Composite schedules beside what profiles painted over each other leave, second by second.

use std::collections::HashSet;

use jiff::Timestamp;
use ocpp::composite::{
    Kind, Period, Place, Profile, Profiles, Purpose, Unit,
    Unit::{Amperes, Watts},
};
use proptest::prelude::*;

const BEGAN: i64 = 1_800_000_000;

fn second(after: i64) -> Timestamp {
    Timestamp::from_second(BEGAN + after).unwrap()
}

fn any_profile() -> impl Strategy<Value = Profile> {
    let purposes = [
        Purpose::StationMax,
        Purpose::External,
        Purpose::TxDefault,
        Purpose::Tx,
    ];
    let kinds = [
        Kind::Absolute,
        Kind::Relative,
        Kind::Recurring(70),
        Kind::Recurring(300),
    ];
    let transactions = [None, Some("tx".to_owned()), Some("other".to_owned())];
    let moment = || prop::option::of((-150_i64..300).prop_map(second));
    let period = (0_i64..120, 0_u32..400, prop::option::of(1_u8..=3));
    let what = (
        0..8_i32,
        0..3_i32,
        0..3_i32,
        prop::sample::select(purposes.to_vec()),
    );
    let when = (moment(), moment(), moment(), prop::option::of(1_i64..200));
    let unit = prop::sample::select(&[Amperes, Watts][..]);
    let rest = (
        prop::sample::select(kinds.to_vec()),
        prop::sample::select(transactions.to_vec()),
        unit,
    );
    (what, when, rest, prop::collection::vec(period, 1..5)).prop_map(
        |(
            (id, evse, stack_level, purpose),
            (valid_from, valid_to, start, duration),
            rest,
            periods,
        )| {
            let (kind, transaction, unit) = rest;
            let scale = if unit == Watts { 20.0 } else { 0.1 };
            let mut periods: Vec<_> = periods
                .into_iter()
                .map(|(start, limit, phases)| Period {
                    start,
                    limit: f64::from(limit) * scale,
                    phases,
                })
                .collect();
            periods.sort_by_key(|period| period.start);
            Profile {
                id,
                evse,
                stack_level,
                purpose,
                transaction: transaction.filter(|_| purpose == Purpose::Tx),
                valid_from,
                valid_to,
                kind,
                start,
                duration,
                unit,
                periods,
            }
        },
    )
}

/// The profiles that are left when each was set in turn.
fn left(told: &[Profile]) -> Vec<&Profile> {
    let (mut ids, mut places) = (HashSet::new(), HashSet::new());
    let mut left: Vec<&Profile> = Vec::new();
    // From the newest on: an older one whose number or place is taken is gone. One that was put out itself has still put out
    // others.
    for one in told.iter().rev() {
        let purpose = one.purpose as u8;
        let place = (one.evse, purpose, one.stack_level, one.transaction.clone());
        let gone = ids.contains(&one.id) || places.contains(&place);
        ids.insert(one.id);
        places.insert(place);
        if !gone {
            left.insert(0, one);
        }
    }
    left
}

/// Each second of a window, painted: the lowest level first, each of its periods over what is there already.
fn painted(
    told: &[Profile],
    place: &Place,
    from: i64,
    seconds: i64,
    unit: Unit,
) -> Vec<(Option<f64>, u8)> {
    let mut walls = vec![[None::<(&Profile, &Period)>; 4]; usize::try_from(seconds).unwrap()];
    let mut all = left(told);
    all.sort_by_key(|one| (one.stack_level, one.evse > 0));
    let began = place
        .transaction
        .as_ref()
        .map_or(from, |(_, began)| began.as_second());
    for one in all {
        let mine = match (&one.transaction, &place.transaction) {
            _ if one.purpose != Purpose::Tx => true,
            (Some(one), Some((running, _))) => one == running,
            (_, running) => running.is_some(),
        };
        if !mine || (one.evse != 0 && one.evse != place.evse) {
            continue;
        }
        let mut begin = match (one.kind, one.start) {
            (Kind::Relative, _) | (_, None) => began,
            (_, Some(start)) => start.as_second(),
        };
        loop {
            let again = match one.kind {
                Kind::Recurring(every) => begin + every,
                _ => i64::MAX,
            };
            for (number, period) in one.periods.iter().enumerate() {
                let next = one
                    .periods
                    .get(number + 1)
                    .map_or(i64::MAX, |next| begin + next.start);
                let ends = one.duration.map_or(i64::MAX, |duration| begin + duration);
                let to = one.valid_to.map_or(i64::MAX, Timestamp::as_second);
                let until = next.min(again).min(ends).min(to).min(from + seconds);
                let valid = one.valid_from.map_or(i64::MIN, Timestamp::as_second);
                for at in (begin + period.start).max(valid).max(from)..until {
                    walls[usize::try_from(at - from).unwrap()][one.purpose as usize] =
                        Some((one, period));
                }
            }
            if again >= from + seconds {
                break;
            }
            begin = again;
        }
    }
    let colour = |wall: &[Option<(&Profile, &Period)>; 4]| {
        let [max, external, default, tx] = *wall;
        let seen: Vec<_> = [max, external, tx.or(default)]
            .into_iter()
            .flatten()
            .collect();
        let phases = seen.iter().filter_map(|(_, period)| period.phases).min();
        let phases = phases.map_or(place.phases, |phases| phases.min(place.phases));
        let watts = |profile: &Profile, limit: f64| match profile.unit {
            Watts => limit,
            Amperes => limit * place.volts * f64::from(phases),
        };
        let limits = seen
            .iter()
            .map(|(profile, period)| watts(profile, period.limit));
        let least = limits.fold(f64::INFINITY, f64::min);
        let least = match unit {
            Watts => least,
            Amperes => least / (place.volts * f64::from(phases)),
        };
        (Some(least).filter(|least| least.is_finite()), phases)
    };
    walls.iter().map(colour).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn each_second_is_what_profiles_painted_over_each_other_leave(
        told in prop::collection::vec(any_profile(), 0..9),
        (from, seconds) in (-100_i64..200, 1_i64..300),
        (evse, phases) in (1..3_i32, 1_u8..=3),
        began in prop::option::of(-120_i64..150),
        unit in prop::sample::select(&[Amperes, Watts][..]),
    ) {
        let mut profiles = Profiles::default();
        for one in &told {
            profiles.set(one.clone());
        }
        let transaction = began.map(|began| ("tx".to_owned(), second(began)));
        let place = Place { evse, transaction, volts: 127.0, phases };
        let found = profiles.composite(&place, second(from), seconds, unit);
        let starts: Vec<i64> = found.steps.iter().map(|step| step.start).collect();
        prop_assert_eq!(starts[0], 0);
        prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
        let expected = painted(&told, &place, BEGAN + from, seconds, unit);
        for (after, (limit, phases)) in (0..).zip(expected) {
            let step = found.steps.iter().rev().find(|step| step.start <= after).unwrap();
            prop_assert_eq!(step.phases, phases, "after {} s", after);
            let near = match (step.limit, limit) {
                (Some(found), Some(limit)) => (found - limit).abs() < 1e-6,
                (found, limit) => found == limit,
            };
            prop_assert!(near, "after {} s: {:?}, not {:?}", after, step.limit, limit);
        }
    }
}
