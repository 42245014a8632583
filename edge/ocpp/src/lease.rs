//! Limits as leases: a `TxProfile` that ends by itself, over a `TxDefaultProfile` to which the station then falls back, under a
//! ceiling for the station as a whole (OCPP 1.6 §3.13, 2.0.1 K01); and how often the station measures.

use jiff::SignedDuration;
use ocpp_kit::{Version, types::DateTime, v1_6, v2_0_1};
use serde_json::{Value, json};

use crate::{
    Call, Refusal,
    station::{Now, Station},
    transaction::Transaction,
};

/// Numbers of profiles: one for what the station falls back to, and one for each EVSE's lease. A profile with a number that
/// the station has takes the place of the other (1.6 §5.16.4, 2.0.1 K01.FR.05).
const FALLBACK: i32 = 1;
const CEILING: i32 = 2;
const LEASES: i32 = 100;
const FALLBACKS: i32 = 200;

/// A limit of a station.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Per phase, in A; told in tenths, never more; 0: nothing.
    pub amperes: f64,
    /// How many phases are used.
    pub phases: usize,
    /// Which one, from 1, of a station that can choose it: only such a station may be told (2.0.1 `phaseToUse`). 1.6 has no
    /// word for it.
    pub phase: Option<u8>,
}

impl Limit {
    fn period(self, version: Version) -> Value {
        let tenths = (self.amperes * 10.0 + 1e-6).floor().max(0.0);
        let phases = self.phases.clamp(1, 3);
        let mut period =
            json!({ "startPeriod": 0, "limit": tenths / 10.0, "numberPhases": phases });
        if let Some(phase) = self
            .phase
            .filter(|_| phases == 1 && version != Version::V1_6)
        {
            period["phaseToUse"] = json!(phase);
        }
        period
    }
}

impl Station {
    /// The call by which a transaction may draw so much for so many seconds from now on, by the station's own clock. While
    /// nobody knows the time of day, or it is not known where the transaction is, there is none.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn lease(
        &self,
        now: Now,
        transaction: &Transaction,
        limit: Limit,
        seconds: i64,
    ) -> Result<Call, Refusal> {
        let wall = now.wall.ok_or(Refusal::NotAccepted)?;
        let evse = transaction.evse.filter(|evse| *evse > 0);
        let evse = evse.ok_or_else(|| Refusal::NoTransaction(transaction.id.clone()))?;
        let ahead = SignedDuration::from_secs(self.clock_ahead().unwrap_or(0));
        let start = wall.saturating_add(ahead).unwrap_or(wall);
        let mut schedule = json!({
            "chargingRateUnit": "A",
            "startSchedule": DateTime::from_timestamp(start),
            "duration": seconds,
            "chargingSchedulePeriod": [limit.period(self.version())],
        });
        let mut profile = json!({
            "stackLevel": 0,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Absolute",
        });
        if self.version() == Version::V1_6 {
            profile["chargingProfileId"] = json!(LEASES + evse);
            profile["transactionId"] = json!(transaction.number);
        } else {
            schedule["id"] = json!(LEASES + evse);
            profile["id"] = json!(LEASES + evse);
            profile["transactionId"] = json!(transaction.id);
        }
        self.profile(evse, profile, schedule)
    }

    /// The call by which every transaction that nobody leases anything draws no more than this: at this EVSE or connector, or
    /// at any of the station.
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn fallback(&self, evse: Option<i32>, limit: Limit) -> Result<Call, Refusal> {
        let number = evse.map_or(FALLBACK, |evse| FALLBACKS + evse);
        let mut schedule = json!({
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [limit.period(self.version())],
        });
        let mut profile = json!({
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
        });
        if self.version() == Version::V1_6 {
            profile["chargingProfileId"] = json!(number);
        } else {
            schedule["id"] = json!(number);
            profile["id"] = json!(number);
        }
        self.profile(evse.unwrap_or(0), profile, schedule)
    }

    /// The call by which the station as a whole never draws more than this, whatever it is told. It keeps that in flash: to
    /// be told rarely. While nobody knows the time of day there is none (2.0.1 K01.FR.38, K01.FR.40 want it absolute).
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn ceiling(&self, now: Now, limit: Limit) -> Result<Call, Refusal> {
        let start = now.wall.ok_or(Refusal::NotAccepted)?;
        let mut schedule = json!({
            "chargingRateUnit": "A",
            "startSchedule": DateTime::from_timestamp(start),
            "chargingSchedulePeriod": [limit.period(self.version())],
        });
        let mut profile = json!({ "stackLevel": 0, "chargingProfileKind": "Absolute" });
        if self.version() == Version::V1_6 {
            profile["chargingProfileId"] = json!(CEILING);
            profile["chargingProfilePurpose"] = json!("ChargePointMaxProfile");
        } else {
            schedule["id"] = json!(CEILING);
            profile["id"] = json!(CEILING);
            profile["chargingProfilePurpose"] = json!("ChargingStationMaxProfile");
        }
        self.profile(0, profile, schedule)
    }

    /// The call by which the station says every so many seconds what a transaction draws (1.6 §9.1.16
    /// `MeterValueSampleInterval`, 2.0.1 `SampledDataCtrlr.TxUpdatedInterval`).
    ///
    /// # Errors
    /// Why it cannot be said.
    pub fn measure_every(&self, seconds: u32) -> Result<Call, Refusal> {
        let invalid = |error: serde_json::Error| Refusal::Invalid(error.to_string());
        let value = seconds.to_string();
        if self.version() == Version::V1_6 {
            let request = json!({ "key": "MeterValueSampleInterval", "value": value });
            let request = serde_json::from_value(request).map_err(invalid)?;
            Ok(Call::V16(v1_6::CsmsRequest::ChangeConfiguration(request)))
        } else {
            let request = json!({ "setVariableData": [{
                "component": { "name": "SampledDataCtrlr" },
                "variable": { "name": "TxUpdatedInterval" },
                "attributeValue": value,
            }] });
            let request = serde_json::from_value(request).map_err(invalid)?;
            Ok(Call::V201(v2_0_1::CsmsRequest::SetVariables(request)))
        }
    }

    fn profile(&self, evse: i32, mut profile: Value, schedule: Value) -> Result<Call, Refusal> {
        let invalid = |error: serde_json::Error| Refusal::Invalid(error.to_string());
        if self.version() == Version::V1_6 {
            profile["chargingSchedule"] = schedule;
            let request = json!({ "connectorId": evse, "csChargingProfiles": profile });
            let request = serde_json::from_value(request).map_err(invalid)?;
            Ok(Call::V16(v1_6::CsmsRequest::SetChargingProfile(request)))
        } else {
            profile["chargingSchedule"] = json!([schedule]);
            let request = json!({ "evseId": evse, "chargingProfile": profile });
            let request = serde_json::from_value(request).map_err(invalid)?;
            Ok(Call::V201(v2_0_1::CsmsRequest::SetChargingProfile(request)))
        }
    }
}
