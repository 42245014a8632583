//! Requests that begin and end a transaction from here: the orders of the same table by which the cloud has them done.

use ocpp::{Call, Transaction, Version};
use serde_json::{Map, Value, json};
use shared_protocol::{Dialect, StationOrder};

use super::local::Refused;

/// The request that an order is to a station of this version. `number` names it where the version wants that.
///
/// # Errors
/// What the version does not have, or what is missing.
pub(crate) fn request(version: Version, order: &StationOrder, number: i32) -> Result<Call, String> {
    let dialect = match version {
        Version::V1_6 => Dialect::V16,
        _ => Dialect::V201,
    };
    let message = order.message(dialect, number);
    let (action, payload) = message.map_err(|error| error.to_string())?;
    Call::read(version, action, payload).map_err(|refusal| refusal.to_string())
}

fn call(version: Version, command: &str, with: Value, number: i32) -> Result<Call, Refused> {
    let with = match with {
        Value::Object(with) => with,
        _ => Map::new(),
    };
    let order = StationOrder {
        // Whoever has its connection knows which one is meant.
        station: String::new(),
        command: command.to_owned(),
        with,
    };
    request(version, &order, number).map_err(Refused::Asked)
}

/// Begin one at this EVSE or connector, with this token.
pub(super) fn start(version: Version, evse: i32, token: &str) -> Result<Call, Refused> {
    // It comes again in the transaction's events, and is none of those that are remembered.
    let mut number = [0; 4];
    getrandom::fill(&mut number).map_err(|error| Refused::Asked(error.to_string()))?;
    let number = i32::from_be_bytes(number) & i32::MAX;
    let with = json!({ "token": token, "connector": evse });
    call(version, "remote-start", with, number)
}

/// End this one.
pub(super) fn stop(version: Version, open: &Transaction) -> Result<Call, Refused> {
    let unknown = || Refused::Asked("nobody knows the number of its transaction".to_owned());
    let name = match version {
        Version::V1_6 => open.number.ok_or_else(unknown)?.to_string(),
        _ => open.id.clone(),
    };
    call(version, "remote-stop", json!({ "transaction": name }), 0)
}

#[cfg(test)]
mod tests {
    use ocpp::{v1_6::CsmsRequest as V16, v2_0_1::CsmsRequest as V201};

    use super::*;

    #[test]
    fn a_transaction_is_begun_in_the_words_of_either_version() {
        let begun = start(Version::V1_6, 2, "NIGHT").unwrap();
        assert!(
            matches!(begun, Call::V16(V16::RemoteStartTransaction(_))),
            "{begun:?}"
        );
        let begun = start(Version::V2_0_1, 2, "NIGHT").unwrap();
        let Call::V201(V201::RequestStartTransaction(request)) = begun else {
            panic!("{begun:?}");
        };
        let request = serde_json::to_value(request).unwrap();
        let token = json!({ "idToken": "NIGHT", "type": "Central" });
        assert_eq!(
            (&request["evseId"], &request["idToken"]),
            (&json!(2), &token)
        );
    }
}
