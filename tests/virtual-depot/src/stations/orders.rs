//! What the central system asks for, and the answers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Version, flash::Flash};

/// The longest time for which a station says what it would allow, in s.
const FORESIGHT: i64 = 86_400;

/// What a station knows when it is asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// By its clock.
    pub(super) now: Timestamp,
    /// The transaction that goes on, in its version's words.
    pub(super) transaction: &'a Value,
    /// Most that it can give, in A.
    pub(super) rated: f64,
    /// It says that it would allow that, whatever it was told.
    pub(super) overstates: bool,
}

/// What a station has to do besides answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing.
    Nothing,
    /// Start anew.
    Reboot,
    /// End the transaction.
    End,
    /// Let go of the cable.
    Unlock,
}

/// The answer to a request, and what follows it; `None` when stations of this kind do not do that.
pub(super) fn answer(
    version: Version,
    action: &str,
    payload: &Value,
    asked: &Asked<'_>,
    flash: &mut Flash,
) -> Option<(Value, Act)> {
    let status = |status: &str| json!({ "status": status });
    let done = |value: Value| Some((value, Act::Nothing));
    match (version, action) {
        (_, "SetChargingProfile") => {
            let taken = flash.profiles.set(version, payload);
            done(status(if taken { "Accepted" } else { "Rejected" }))
        }
        (_, "ClearChargingProfile") => {
            flash.profiles.clear();
            done(status("Accepted"))
        }
        (_, "GetCompositeSchedule") => done(composite(version, payload, asked, flash)),
        (_, "Reset") => Some((status("Accepted"), Act::Reboot)),
        (_, "UnlockConnector") => Some((status("Unlocked"), Act::Unlock)),
        (Version::V16, "RemoteStopTransaction") | (Version::V201, "RequestStopTransaction") => {
            let meant = payload["transactionId"] == *asked.transaction;
            let (word, act) = if meant {
                ("Accepted", Act::End)
            } else {
                ("Rejected", Act::Nothing)
            };
            Some((status(word), act))
        }
        (Version::V16, "ChangeConfiguration") => {
            let known = payload["key"] == "MeterValueSampleInterval";
            let taken = known && measure(flash, &payload["value"]);
            done(status(if taken { "Accepted" } else { "NotSupported" }))
        }
        (Version::V201, "SetVariables") => {
            let all = payload["setVariableData"].as_array()?;
            let one = |data: &Value| {
                let known = data["variable"]["name"] == "TxUpdatedInterval";
                let taken = known && measure(flash, &data["attributeValue"]);
                json!({
                    "attributeStatus": if taken { "Accepted" } else { "UnknownVariable" },
                    "component": data["component"], "variable": data["variable"],
                })
            };
            done(json!({ "setVariableResult": all.iter().map(one).collect::<Vec<_>>() }))
        }
        _ => None,
    }
}

/// What its one socket may draw, or all of it: that is the same.
fn composite(version: Version, payload: &Value, asked: &Asked<'_>, flash: &Flash) -> Value {
    let place = match version {
        Version::V16 => "connectorId",
        Version::V201 => "evseId",
    };
    let seconds = payload["duration"].as_i64().unwrap_or(0);
    if !matches!(payload[place].as_i64(), Some(0 | 1)) || !(1..=FORESIGHT).contains(&seconds) {
        return json!({ "status": "Rejected" });
    }
    let Asked { now, rated, .. } = *asked;
    let found = if asked.overstates {
        vec![(0, rated)]
    } else {
        let profiles = &flash.profiles;
        profiles.composite(now, seconds, asked.transaction, rated)
    };
    let periods = found.into_iter();
    let periods = periods.map(|(start, limit)| json!({ "startPeriod": start, "limit": limit }));
    let mut schedule = json!({
        "duration": seconds,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": periods.collect::<Vec<_>>(),
    });
    match version {
        Version::V16 => {
            json!({ "status": "Accepted", place: payload[place], "scheduleStart": now, "chargingSchedule": schedule })
        }
        Version::V201 => {
            schedule["scheduleStart"] = json!(now);
            schedule[place] = payload[place].clone();
            json!({ "status": "Accepted", "schedule": schedule })
        }
    }
}

fn measure(flash: &mut Flash, value: &Value) -> bool {
    let seconds = value.as_str().and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=3600).contains(seconds));
    if let Some(seconds) = seconds {
        flash.interval = seconds;
    }
    seconds.is_some()
}
