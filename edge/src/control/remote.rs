//! Requests that begin and end a transaction from here (OCPP 1.6 §5.11, §5.12; 2.0.1 F01, F03).

use ocpp::{Call, Transaction, Version, v1_6, v2_0_1};
use serde_json::json;

use super::local::Refused;

fn invalid(error: &serde_json::Error) -> Refused {
    Refused::Asked(error.to_string())
}

/// Begin one at this EVSE or connector, with this token.
pub(super) fn start(version: Version, evse: i32, token: &str) -> Result<Call, Refused> {
    if version == Version::V1_6 {
        let request = json!({ "connectorId": evse, "idTag": token });
        let request = serde_json::from_value(request).map_err(|error| invalid(&error))?;
        return Ok(Call::V16(v1_6::CsmsRequest::RemoteStartTransaction(
            request,
        )));
    }
    // It comes again in the transaction's events, and is none of those that are remembered.
    let mut number = [0; 4];
    getrandom::fill(&mut number).map_err(|error| Refused::Asked(error.to_string()))?;
    let request = json!({
        "evseId": evse,
        "remoteStartId": i32::from_be_bytes(number) & i32::MAX,
        "idToken": { "idToken": token, "type": "Central" },
    });
    let request = serde_json::from_value(request).map_err(|error| invalid(&error))?;
    Ok(Call::V201(v2_0_1::CsmsRequest::RequestStartTransaction(
        request,
    )))
}

/// End this one.
pub(super) fn stop(version: Version, open: &Transaction) -> Result<Call, Refused> {
    if version == Version::V1_6 {
        let request = json!({ "transactionId": open.number });
        let request = serde_json::from_value(request).map_err(|error| invalid(&error))?;
        return Ok(Call::V16(v1_6::CsmsRequest::RemoteStopTransaction(request)));
    }
    let request = json!({ "transactionId": open.id });
    let request = serde_json::from_value(request).map_err(|error| invalid(&error))?;
    Ok(Call::V201(v2_0_1::CsmsRequest::RequestStopTransaction(
        request,
    )))
}
