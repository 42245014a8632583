//! What the cloud has a station do: an order goes to the connection that the station has, and waits for its answer.

use std::time::Duration;

use ::ocpp::{Answer, Call, CallFailure, Station};
use serde_json::Value;
use shared_protocol::StationOrder;
use tokio::sync::{mpsc, oneshot};

use super::{Central, Seat, lock};
use crate::control::request;

/// Orders that wait for one station.
pub(super) const WAITING: usize = 16;
/// No answer takes longer: each call in front of it ends by itself.
const PATIENCE: Duration = Duration::from_secs(600);
/// Answers of stations that are no refusal (1.6 §7, 2.0.1 part 2, §3).
const GOOD: [&str; 6] = [
    "Accepted",
    "AcceptedCanceled",
    "Scheduled",
    "RebootRequired",
    "Unlocked",
    "NotSupportedByEV",
];
/// Numbers of profiles from here on are the cloud's: those below are the gateway's own (`edge/ocpp/src/lease.rs`).
const OWN_PROFILES: i64 = 1000;

/// Who waits for an answer: what the station said, or why it was not asked or did not do it.
pub(super) type Reply = oneshot::Sender<Result<String, String>>;

/// Something that a station is to do.
#[derive(Debug)]
pub(super) struct Order {
    what: StationOrder,
    /// Names the request where the version wants that.
    number: i32,
    pub(super) reply: Reply,
}

impl Seat {
    /// Who has this seat takes orders here, or nobody does.
    pub(super) fn takes_orders(&self, put: Option<mpsc::Sender<Order>>) {
        *lock(&self.orders) = put;
    }
}

impl Central {
    /// Has a station do something; gives its answer as JSON.
    ///
    /// # Errors
    /// Why it was not asked, or what it said instead of doing it.
    pub async fn order(&self, what: StationOrder, number: i32) -> Result<String, String> {
        let station = what.station.clone();
        if !self.settings.stations.contains_key(&station) {
            return Err(format!("no station of this gateway is called {station}"));
        }
        let orders = lock(&self.seat(&station).orders).clone();
        let orders = orders.ok_or_else(|| format!("station {station} is not connected"))?;
        let (reply, answer) = oneshot::channel();
        let order = Order {
            what,
            number,
            reply,
        };
        orders
            .try_send(order)
            .map_err(|_| format!("{WAITING} orders wait for station {station} already"))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            _ => Err(format!(
                "the connection of station {station} ended before it answered: whether it has done it is not known"
            )),
        }
    }
}

/// The call that an order is. `fallback`: to what the station falls back, where this gateway holds the depot's limits, in A.
pub(super) fn call(
    station: &Station,
    order: &Order,
    fallback: Option<f64>,
) -> Result<Call, String> {
    let call = request(station.version(), &order.what, order.number)?;
    if let Some(fallback) = fallback {
        limited(&order.what, fallback)?;
    }
    Ok(call)
}

/// A profile of the cloud's must not let a station draw more than the load manager has room for, nor take one of its own away:
/// what a station falls back to is the one level that always has room.
fn limited(order: &StationOrder, fallback: f64) -> Result<(), String> {
    let number = order.with.get("profile").and_then(Value::as_i64);
    let own = number.is_some_and(|number| number < OWN_PROFILES);
    match order.command.as_str() {
        "set-profile" | "clear-profile" if own => Err(format!(
            "profiles below {OWN_PROFILES} are those by which the gateway holds the depot's limits"
        )),
        "set-profile" => {
            let amperes = order.with.get("amperes").and_then(Value::as_f64);
            let amperes = amperes.unwrap_or(f64::MAX);
            if amperes > fallback {
                Err(format!(
                    "the gateway holds the depot's limits: a profile may not let the station draw more than the {fallback} A to which it falls back, found {amperes}"
                ))
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

/// What an answer means.
pub(super) fn answered(result: &Result<Answer, CallFailure>) -> Result<String, String> {
    let answer = result
        .as_ref()
        .map_err(|failure| format!("the station: {failure}"))?;
    let text = answer.payload().map_or("{}", |payload| payload.get());
    let said: Value = serde_json::from_str(text).unwrap_or_default();
    let statuses = [
        &said["status"],
        &said["setVariableResult"][0]["attributeStatus"],
        &said["getVariableResult"][0]["attributeStatus"],
    ];
    let status = statuses.into_iter().find_map(Value::as_str);
    match status {
        Some(status) if !GOOD.contains(&status) => Err(format!("the station says {text}")),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_profile_raises_what_the_gateway_holds() {
        let order = |command: &str, profile: i64, amperes: f64| {
            let text = format!(
                r#"{{"station": "CP", "command": "{command}", "with": {{"profile": {profile}, "amperes": {amperes}}}}}"#
            );
            serde_json::from_str::<StationOrder>(&text).unwrap()
        };
        let said = |command, profile, amperes| {
            limited(&order(command, profile, amperes), 8.0).map_err(|text| text[..20].to_owned())
        };
        assert_eq!(said("set-profile", 1000, 8.0), Ok(()));
        assert!(said("set-profile", 1000, 8.1).is_err());
        assert!(said("set-profile", 101, 6.0).is_err());
        assert!(said("clear-profile", 1, 0.0).is_err());
        assert_eq!(said("clear-profile", 1000, 0.0), Ok(()));
    }
}
