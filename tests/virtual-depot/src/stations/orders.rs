//! What the central system asks for, and the answers.

use serde_json::{Value, json};

use super::{Version, flash::Flash};

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

/// The answer to a request, and what follows it; `None` when stations of this kind do not do that. `transaction` is the one
/// that goes on, in its version's words.
pub(super) fn answer(
    version: Version,
    action: &str,
    payload: &Value,
    transaction: &Value,
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
        (_, "Reset") => Some((status("Accepted"), Act::Reboot)),
        (_, "UnlockConnector") => Some((status("Unlocked"), Act::Unlock)),
        (Version::V16, "RemoteStopTransaction") | (Version::V201, "RequestStopTransaction") => {
            let meant = payload["transactionId"] == *transaction;
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

fn measure(flash: &mut Flash, value: &Value) -> bool {
    let seconds = value.as_str().and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=3600).contains(seconds));
    if let Some(seconds) = seconds {
        flash.interval = seconds;
    }
    seconds.is_some()
}
