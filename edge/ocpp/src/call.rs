//! Requests to a station: remote start and stop, unlock, reset, limits, and all others. What is not allowed is refused here,
//! with its reason, before anything is sent.

use ocpp_kit::{
    Version,
    engine::CallToken,
    v1_6::{self, ChargingProfilePurpose},
    v2_0_1,
    validate::Validate,
};
use serde_json::Value;

use crate::station::{Effect, Now, Station, instant, raw};

/// Calls that wait for the one in front of them.
const WAITING: usize = 16;

/// A request to a station, in its version.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "they are few and short-lived")]
pub enum Call {
    /// To a station of OCPP 1.6.
    V16(v1_6::CsmsRequest),
    /// To a station of OCPP 2.0.1 or 2.1.
    V201(v2_0_1::CsmsRequest),
}

/// The requests of one version that are read from JSON, each by its name there.
///
/// They are named, not all that the version has: of those that nobody makes from JSON, a gateway need not carry the code.
macro_rules! read {
    ($version:ident, $action:expr, $payload:expr, [$($name:ident),+ $(,)?]) => {
        match $version::Action::from_wire($action) {
            $(Some($version::Action::$name) => {
                let request = serde_json::from_value($payload);
                Some(request.map($version::CsmsRequest::$name))
            })+
            _ => None,
        }
    };
}

impl Call {
    /// The request of this action and payload in a version, of those that an order to a station may become
    /// (`station-commands.toml`). Whether it keeps to the schema's lengths and ranges, [`Station::call`] says.
    ///
    /// # Errors
    /// When the version has no such request, or the payload is none.
    pub fn read(version: Version, action: &str, payload: Value) -> Result<Self, Refusal> {
        let request = if version == Version::V1_6 {
            let request = read!(
                v1_6,
                action,
                payload,
                [
                    CancelReservation,
                    ChangeAvailability,
                    ChangeConfiguration,
                    ClearCache,
                    ClearChargingProfile,
                    GetCompositeSchedule,
                    GetConfiguration,
                    GetDiagnostics,
                    GetLocalListVersion,
                    RemoteStartTransaction,
                    RemoteStopTransaction,
                    ReserveNow,
                    Reset,
                    SetChargingProfile,
                    TriggerMessage,
                    UnlockConnector,
                    UpdateFirmware,
                ]
            );
            request.map(|request| request.map(Self::V16))
        } else {
            let request = read!(
                v2_0_1,
                action,
                payload,
                [
                    CancelReservation,
                    ChangeAvailability,
                    ClearCache,
                    ClearChargingProfile,
                    GetCompositeSchedule,
                    GetLocalListVersion,
                    GetLog,
                    GetTransactionStatus,
                    GetVariables,
                    RequestStartTransaction,
                    RequestStopTransaction,
                    ReserveNow,
                    Reset,
                    SetChargingProfile,
                    SetVariables,
                    TriggerMessage,
                    UnlockConnector,
                    UpdateFirmware,
                ]
            );
            request.map(|request| request.map(Self::V201))
        };
        let unknown = || Refusal::Invalid(format!("OCPP {version} has no order {action}"));
        let invalid = |error: serde_json::Error| Refusal::Invalid(error.to_string());
        request.ok_or_else(unknown)?.map_err(invalid)
    }
}

/// Why a call is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The station speaks another version.
    #[error("the station speaks OCPP {0}: ask it in that version")]
    Version(Version),
    /// It does not keep to its schema.
    #[error("not a valid request: {0}")]
    Invalid(String),
    /// The station has not been accepted yet.
    #[error("the station's boot is not accepted yet: try again when the gateway knows the time")]
    NotAccepted,
    /// Too many are waiting.
    #[error("{WAITING} calls wait for this station already: try again when they are answered")]
    Busy,
    /// There was a ground failure.
    #[error(
        "connector {0} has reported a ground failure: somebody has to look at it before a car is connected from afar"
    )]
    GroundFailure(i32),
    /// The connector is out of service.
    #[error("connector {0} is unavailable or faulted: it cannot start a transaction")]
    Unavailable(i32),
    /// No transaction of this name goes on.
    #[error("transaction {0} does not go on at this station")]
    NoTransaction(String),
    /// A profile that is for one transaction names none, or is for a start and has another purpose.
    #[error("a profile with a remote start must have the purpose TxProfile, and no transaction")]
    Profile,
    /// The protocol does not allow it.
    #[error("this cannot be asked: {0}")]
    Protocol(String),
}

impl Station {
    /// Makes a call, or says why not. The token comes again in [`Effect::Outcome`].
    ///
    /// # Errors
    /// Why it is not made; nothing has been sent then.
    pub fn call(&mut self, now: Now, call: &Call) -> Result<(CallToken, Vec<Effect>), Refusal> {
        let (action, value) = match call {
            Call::V16(request) => {
                self.speaks(self.version == Version::V1_6)?;
                valid(request)?;
                self.allowed_16(request)?;
                (request.action().as_str(), serde_json::to_value(request))
            }
            Call::V201(request) => {
                self.speaks(self.version != Version::V1_6)?;
                valid(request)?;
                self.allowed_201(request)?;
                (request.action().as_str(), serde_json::to_value(request))
            }
        };
        let invalid = |error: serde_json::Error| Refusal::Invalid(error.to_string());
        let payload = raw(&value.map_err(invalid)?);
        let payload = payload.map_err(|error| Refusal::Invalid(error.to_string()))?;
        if self.engine.queued() >= WAITING {
            return Err(Refusal::Busy);
        }
        let called = self.engine.call(instant(now), action, payload);
        let token = called.map_err(|error| Refusal::Protocol(error.to_string()))?;
        Ok((token, self.effects(now)))
    }

    fn speaks(&self, right: bool) -> Result<(), Refusal> {
        let refusal = Refusal::Version(self.version);
        right.then_some(()).ok_or(refusal)
    }

    /// While a boot is pending a station may be configured, but must not charge (1.6 §4.2, 2.0.1 B02.FR.05).
    fn accepted(&self) -> Result<(), Refusal> {
        let refused = self.booted == Some(false);
        (!refused).then_some(()).ok_or(Refusal::NotAccepted)
    }

    /// A car may be charged from afar at this connector (`None`: at one that the station chooses).
    fn may_start(&self, connector: Option<i32>) -> Result<(), Refusal> {
        self.accepted()?;
        for (&number, evse) in &self.evses {
            let meant = connector.is_none_or(|connector| connector == number) || number == 0;
            if meant && evse.ground_failure {
                return Err(Refusal::GroundFailure(number));
            }
            if connector == Some(number) && evse.unavailable {
                return Err(Refusal::Unavailable(number));
            }
        }
        Ok(())
    }

    fn allowed_16(&self, request: &v1_6::CsmsRequest) -> Result<(), Refusal> {
        use v1_6::CsmsRequest as Request;
        match request {
            Request::RemoteStartTransaction(start) => {
                self.may_start(start.connector_id)?;
                let profile = start.charging_profile.as_ref();
                let right = profile.is_none_or(|profile| {
                    profile.charging_profile_purpose == ChargingProfilePurpose::TxProfile
                        && profile.transaction_id.is_none()
                });
                right.then_some(()).ok_or(Refusal::Profile)
            }
            Request::RemoteStopTransaction(stop) => {
                self.accepted()?;
                let goes_on = |number| self.memory.open().any(|one| one.number == Some(number));
                let number = stop.transaction_id;
                goes_on(number)
                    .then_some(())
                    .ok_or(Refusal::NoTransaction(number.to_string()))
            }
            Request::ReserveNow(reserve) => self.may_start(Some(reserve.connector_id)),
            Request::UnlockConnector(unlock) if unlock.connector_id <= 0 => Err(Refusal::Invalid(
                "connector 0 is the station as a whole and has no lock".into(),
            )),
            _ => Ok(()),
        }
    }

    fn allowed_201(&self, request: &v2_0_1::CsmsRequest) -> Result<(), Refusal> {
        use v2_0_1::CsmsRequest as Request;
        match request {
            Request::RequestStartTransaction(start) => {
                self.may_start(start.evse_id)?;
                let profile = start.charging_profile.as_ref();
                let right = profile.is_none_or(|profile| {
                    profile.charging_profile_purpose == v2_0_1::ChargingProfilePurpose::TxProfile
                        && profile.transaction_id.is_none()
                });
                right.then_some(()).ok_or(Refusal::Profile)
            }
            Request::RequestStopTransaction(stop) => {
                self.accepted()?;
                let id = &stop.transaction_id;
                let goes_on = self.memory.open().any(|one| one.id == *id);
                goes_on
                    .then_some(())
                    .ok_or_else(|| Refusal::NoTransaction(id.clone()))
            }
            Request::ReserveNow(reserve) => self.may_start(reserve.evse_id),
            _ => Ok(()),
        }
    }
}

fn valid(request: &impl Validate) -> Result<(), Refusal> {
    request.validate().map_err(|violations| {
        let first = violations.first().map(ToString::to_string);
        Refusal::Invalid(first.unwrap_or_default())
    })
}
