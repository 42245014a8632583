//! Plans for depots, as people and programs write them: JSON, the argument of a command of kind `plan`.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};
use shared_protocol::{AssetKey, Assumed, Plan, Planned};

/// Longest time that a plan may hold.
const LONGEST: SignedDuration = SignedDuration::from_hours(8 * 24);
/// Most that it may say: a plan travels in one message.
const STATIONS: usize = 1000;
const POWERS: usize = 20_000;
const LONGEST_TOKEN: usize = 64;
/// Most that may be assumed of a car: 1 MWh, and a week.
const ASSUMED: (u32, u32) = (1_000_000, 7 * 24 * 3600);

/// Why a plan is none.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is not written as a plan.
    #[error(
        "expected a plan such as {{\"from\": \"2027-01-31T20:00:00-06:00\", \"until\": \"2027-02-01T06:00:00-06:00\", \"stations\": [{{\"station\": \"station-01\", \"critical\": true}}]}}: {0}"
    )]
    Written(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("{0}")]
    Wrong(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    from: Timestamp,
    until: Timestamp,
    stations: Vec<Station>,
    #[serde(default, deserialize_with = "said")]
    assumed: OfOthers,
}

/// What a plan assumes of cars of which it says nothing.
#[derive(Default)]
enum OfOthers {
    /// It does not say.
    #[default]
    Unsaid,
    Nothing,
    This(Other),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    energy_wh: u32,
    leaves_after_s: u32,
}

fn said<'de, D: Deserializer<'de>>(value: D) -> Result<OfOthers, D::Error> {
    Option::deserialize(value).map(|said| said.map_or(OfOthers::Nothing, OfOthers::This))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Station {
    station: AssetKey,
    token: Option<String>,
    #[serde(default)]
    critical: bool,
    departure: Option<Timestamp>,
    energy_wh: Option<u32>,
    #[serde(default)]
    power: Vec<Power>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Power {
    from: Timestamp,
    watts: u32,
}

/// The plan as it was written, with this assumed of cars of which it says nothing, unless it says itself what is. What is no
/// plan stays as it is: [`read`] says why.
pub fn assuming(text: &str, assumed: Assumed) -> Cow<'_, str> {
    let silent = |plan: Written| matches!(plan.assumed, OfOthers::Unsaid);
    let silent = serde_json::from_str(text).is_ok_and(silent);
    // A plan that can be read is an object with fields.
    let open = text.trim_end().strip_suffix('}').filter(|_| silent);
    open.map_or(Cow::Borrowed(text), |open| {
        let Assumed {
            energy_wh,
            leaves_after_s,
        } = assumed;
        let open = open.trim_end();
        Cow::Owned(format!(
            r#"{open}, "assumed": {{"energy_wh": {energy_wh}, "leaves_after_s": {leaves_after_s}}}}}"#
        ))
    })
}

/// Reads a plan, and what it assumes of cars of which it says nothing.
///
/// # Errors
/// What is wrong with it, and what was expected.
pub fn read(text: &str) -> Result<(Plan, Option<Assumed>), PlanError> {
    let written: Written = serde_json::from_str(text)?;
    let wrong = |what: String| Err(PlanError::Wrong(what));
    if written.until <= written.from || written.from.duration_until(written.until) > LONGEST {
        return wrong(format!(
            "expected a plan that ends after it begins and within 8 days, found one from {} until {}",
            written.from, written.until
        ));
    }
    let powers: usize = written.stations.iter().map(|one| one.power.len()).sum();
    let count = written.stations.len();
    if count == 0 || count > STATIONS || powers > POWERS {
        return wrong(format!(
            "expected 1 to {STATIONS} stations with at most {POWERS} powers in all, found {count} with {powers}"
        ));
    }
    for (place, one) in written.stations.iter().enumerate() {
        let same = |other: &Station| other.station == one.station && other.token == one.token;
        let id = &one.station;
        if written.stations[..place].iter().any(same) {
            return wrong(format!("expected each station once, found `{id}` again"));
        }
        if !one.power.is_sorted_by(|one, next| one.from < next.from) {
            return wrong(format!(
                "expected the powers of `{id}` in the order of time, found another order"
            ));
        }
        let length = one.token.as_ref().map_or(1, |token| token.chars().count());
        if !(1..=LONGEST_TOKEN).contains(&length) {
            return wrong(format!(
                "expected a token of 1 to {LONGEST_TOKEN} characters for `{id}`, found {length}"
            ));
        }
    }
    let assumed = match written.assumed {
        OfOthers::Unsaid | OfOthers::Nothing => None,
        OfOthers::This(other) => Some(Assumed {
            energy_wh: other.energy_wh,
            leaves_after_s: other.leaves_after_s,
        }),
    };
    if let Some(one) = assumed
        && (one.energy_wh > ASSUMED.0 || one.leaves_after_s > ASSUMED.1)
    {
        return wrong(format!(
            "expected at most {} Wh and {} s to be assumed of a car, found {} Wh and {} s",
            ASSUMED.0, ASSUMED.1, one.energy_wh, one.leaves_after_s
        ));
    }
    let stations = written.stations.into_iter().map(|one| Planned {
        station: one.station,
        token: one.token,
        critical: one.critical,
        departure_us: one.departure.map(Timestamp::as_microsecond),
        energy_wh: one.energy_wh,
        power: one
            .power
            .iter()
            .map(|power| (power.from.as_microsecond(), power.watts))
            .collect(),
    });
    let plan = Plan {
        from_us: written.from.as_microsecond(),
        until_us: written.until.as_microsecond(),
        stations: stations.collect(),
    };
    Ok((plan, assumed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = r#""from": "2027-01-31T20:00:00Z", "until": "2027-02-01T06:00:00Z""#;

    #[test]
    fn a_plan_is_read() {
        let text = format!(
            r#"{{ {DAY}, "stations": [
                {{ "station": "one", "critical": true, "departure": "2027-02-01T05:30:00Z", "energy_wh": 20000 }},
                {{ "station": "two", "token": "CARD", "power": [{{ "from": "2027-01-31T23:00:00Z", "watts": 7000 }}] }}
            ] }}"#
        );
        let (plan, assumed) = read(&text).unwrap();
        assert_eq!(assumed, None);
        assert_eq!(plan.until_us - plan.from_us, 36_000_000_000);
        let [one, two] = &plan.stations[..] else {
            panic!("{plan:?}")
        };
        assert!(one.critical && one.energy_wh == Some(20_000) && one.power.is_empty());
        assert_eq!(one.departure_us, Some(plan.until_us - 1_800_000_000));
        assert_eq!(two.power, [(plan.from_us + 10_800_000_000, 7000)]);
        assert_eq!(two.token.as_deref(), Some("CARD"));
    }

    #[test]
    fn what_is_assumed_of_other_cars_is_put_in_where_a_plan_does_not_say_it() {
        let usual = Assumed {
            energy_wh: 20_000,
            leaves_after_s: 28_800,
        };
        let stations = r#""stations": [{ "station": "one" }]"#;
        let silent = format!("{{ {DAY}, {stations} }}\n");
        let put_in = assuming(&silent, usual);
        assert_eq!(
            read(&put_in).unwrap(),
            (read(&silent).unwrap().0, Some(usual))
        );
        assert!(
            put_in.starts_with(silent.trim_end().trim_end_matches(['}', ' '])),
            "{put_in}"
        );
        // What it says itself counts, also that it assumes nothing.
        let own = r#""assumed": { "energy_wh": 5, "leaves_after_s": 60 }"#;
        let own = format!("{{ {own}, {DAY}, {stations} }}");
        assert_eq!(assuming(&own, usual), own);
        let assumed = Assumed {
            energy_wh: 5,
            leaves_after_s: 60,
        };
        assert_eq!(read(&own).unwrap().1, Some(assumed));
        let nothing = format!(r#"{{ {DAY}, {stations}, "assumed": null }}"#);
        assert_eq!(assuming(&nothing, usual), nothing);
        assert_eq!(read(&nothing).unwrap().1, None);
        // What is no plan is none afterwards, for the same reason.
        for text in ["", "{}", "[]", "{ \"from\": 1 }", "}"] {
            assert_eq!(assuming(text, usual), text);
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_reason() {
        let power = r#""power": [{"from": "2027-01-31T23:00:00Z", "watts": 1}, {"from": "2027-01-31T23:00:00Z", "watts": 2}]"#;
        for (text, expected) in [
            ("{}".to_owned(), "expected a plan such as"),
            (
                r#"{"from": "2027-01-31T20:00:00Z", "until": "2027-01-31T20:00:00Z", "stations": []}"#.to_owned(),
                "ends after it begins",
            ),
            (
                r#"{"from": "2027-01-31T20:00:00Z", "until": "2027-02-28T20:00:00Z", "stations": []}"#.to_owned(),
                "within 8 days",
            ),
            (format!(r#"{{ {DAY}, "stations": [] }}"#), "1 to 1000 stations"),
            (
                format!(r#"{{ {DAY}, "stations": [{{"station": "a"}}, {{"station": "a"}}] }}"#),
                "found `a` again",
            ),
            (
                format!(r#"{{ {DAY}, "stations": [{{"station": "a", {power} }}] }}"#),
                "order of time",
            ),
            (
                format!(r#"{{ {DAY}, "stations": [{{"station": "a", "token": "" }}] }}"#),
                "a token of 1 to 64",
            ),
            (
                format!(r#"{{ {DAY}, "stations": [{{"station": "a", "limit": 1 }}] }}"#),
                "unknown field `limit`",
            ),
            (
                format!(r#"{{ {DAY}, "stations": [{{"station": "a"}}], "assumed": {{"energy_wh": 1000001, "leaves_after_s": 0}} }}"#),
                "at most 1000000 Wh and 604800 s",
            ),
            (
                format!(r#"{{ {DAY}, "stations": [{{"station": "a"}}], "assumed": {{"energy_wh": 1}} }}"#),
                "missing field `leaves_after_s`",
            ),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
