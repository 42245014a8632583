//! Plans for depots, as people and programs write them: JSON, the argument of a command of kind `plan`.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use shared_protocol::{AssetKey, Plan, Planned};

/// Longest time that a plan may hold.
const LONGEST: SignedDuration = SignedDuration::from_hours(8 * 24);
/// Most that it may say: a plan travels in one message.
const STATIONS: usize = 1000;
const POWERS: usize = 20_000;
const LONGEST_TOKEN: usize = 64;

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

/// Reads a plan.
///
/// # Errors
/// What is wrong with it, and what was expected.
pub fn read(text: &str) -> Result<Plan, PlanError> {
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
    Ok(Plan {
        from_us: written.from.as_microsecond(),
        until_us: written.until.as_microsecond(),
        stations: stations.collect(),
    })
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
        let plan = read(&text).unwrap();
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
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
