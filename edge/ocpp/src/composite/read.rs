//! Profiles from the calls that told them, the question for a composite schedule, and a station's answer to it.

use jiff::Timestamp;
use ocpp_kit::{Version, types::DateTime, v1_6, v2_0_1};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Composite, Kind, Period, Profile, Profiles, Purpose, Step, Unit};
use crate::{Call, Refusal, station::Station};

const DAY: i64 = 86_400;

/// A profile as both versions write it: 2.0.1 has several schedules, and other names for its number.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(alias = "chargingProfileId")]
    id: i32,
    stack_level: i32,
    charging_profile_purpose: String,
    charging_profile_kind: String,
    recurrency_kind: Option<String>,
    valid_from: Option<DateTime>,
    valid_to: Option<DateTime>,
    transaction_id: Option<Value>,
    charging_schedule: Schedules,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Schedules {
    One(Schedule),
    Several(Vec<Schedule>),
}

/// A schedule as profiles and answers have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    #[serde(alias = "scheduleStart")]
    start_schedule: Option<DateTime>,
    duration: Option<i64>,
    charging_rate_unit: String,
    charging_schedule_period: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    start_period: i64,
    limit: f64,
    number_phases: Option<u8>,
}

/// An answer: 1.6 has the beginning beside its schedule.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    schedule_start: Option<DateTime>,
    #[serde(alias = "chargingSchedule")]
    schedule: Option<Schedule>,
}

impl Schedule {
    fn unit(&self) -> Option<Unit> {
        match self.charging_rate_unit.as_str() {
            "A" => Some(Unit::Amperes),
            "W" => Some(Unit::Watts),
            _ => None,
        }
    }

    fn periods(&self) -> Vec<Period> {
        let parts = self.charging_schedule_period.iter();
        let mut periods: Vec<Period> = parts
            .map(|part| Period {
                start: part.start_period,
                limit: part.limit,
                phases: part.number_phases,
            })
            .collect();
        periods.sort_by_key(|period| period.start);
        periods
    }
}

impl Told {
    fn profile(self, evse: i32) -> Option<Profile> {
        let schedule = match self.charging_schedule {
            Schedules::One(schedule) => schedule,
            Schedules::Several(all) => all.into_iter().next()?,
        };
        let purpose = match self.charging_profile_purpose.as_str() {
            "ChargePointMaxProfile" | "ChargingStationMaxProfile" => Purpose::StationMax,
            "ChargingStationExternalConstraints" => Purpose::External,
            "TxDefaultProfile" => Purpose::TxDefault,
            "TxProfile" => Purpose::Tx,
            _ => return None,
        };
        let recurs = self.recurrency_kind.as_deref();
        let kind = match (self.charging_profile_kind.as_str(), recurs) {
            ("Absolute", _) => Kind::Absolute,
            ("Relative", _) => Kind::Relative,
            ("Recurring", Some("Daily")) => Kind::Recurring(DAY),
            ("Recurring", Some("Weekly")) => Kind::Recurring(7 * DAY),
            _ => return None,
        };
        let time = |time: Option<DateTime>| time.map(DateTime::timestamp);
        Some(Profile {
            id: self.id,
            evse,
            stack_level: self.stack_level,
            purpose,
            transaction: self.transaction_id.map(|id| match id {
                Value::String(name) => name,
                number => number.to_string(),
            }),
            valid_from: time(self.valid_from),
            valid_to: time(self.valid_to),
            kind,
            start: time(schedule.start_schedule),
            duration: schedule.duration,
            unit: schedule.unit()?,
            periods: schedule.periods(),
        })
    }
}

impl Profiles {
    /// The station has accepted this call: it has a profile more or less, if it is about one. False where it is not known what
    /// the station has then: it was told to clear what has no number, or what nobody here understands.
    pub fn took(&mut self, call: &Call) -> bool {
        let read = |profile: serde_json::Result<Value>, evse| {
            let told: Told = serde_json::from_value(profile.ok()?).ok()?;
            told.profile(evse)
        };
        let profile = match call {
            Call::V16(v1_6::CsmsRequest::SetChargingProfile(set)) => {
                let profile = serde_json::to_value(&set.cs_charging_profiles);
                read(profile, set.connector_id)
            }
            Call::V201(v2_0_1::CsmsRequest::SetChargingProfile(set)) => {
                read(serde_json::to_value(&set.charging_profile), set.evse_id)
            }
            Call::V16(v1_6::CsmsRequest::ClearChargingProfile(clear)) => {
                return self.cleared(clear.id);
            }
            Call::V201(v2_0_1::CsmsRequest::ClearChargingProfile(clear)) => {
                return self.cleared(clear.charging_profile_id);
            }
            _ => return true,
        };
        let known = profile.is_some();
        if let Some(profile) = profile {
            self.set(profile);
        }
        known
    }

    fn cleared(&mut self, id: Option<i32>) -> bool {
        if let Some(id) = id {
            self.clear(id);
        }
        id.is_some()
    }
}

impl Station {
    /// The call that asks what a connector (1.6) or EVSE (2.0.1) may draw from now on, in A (1.6 §5.7, 2.0.1 K08).
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn ask_composite(&self, evse: i32, seconds: i64) -> Result<Call, Refusal> {
        let version = self.version();
        let place = match version {
            Version::V1_6 => "connectorId",
            _ => "evseId",
        };
        let asked = json!({ place: evse, "duration": seconds, "chargingRateUnit": "A" });
        Call::read(version, "GetCompositeSchedule", asked)
    }
}

impl Composite {
    /// The schedule of a station's answer to what it was asked at this time of its clock. It may be in another unit than the
    /// one that was asked for, and shorter. `None`: it has none.
    pub fn answered(answer: &str, asked: Timestamp, seconds: i64) -> Option<Self> {
        let answer: Answer = serde_json::from_str(answer).ok()?;
        let schedule = answer.schedule.filter(|_| answer.status == "Accepted")?;
        let start = answer.schedule_start.as_ref();
        let start = start.or(schedule.start_schedule.as_ref());
        let periods = schedule.periods().into_iter();
        let steps = periods.map(|period| Step {
            start: period.start,
            limit: Some(period.limit),
            phases: period.phases.unwrap_or(3),
        });
        Some(Self {
            start: start.map_or(asked, |start| start.timestamp()),
            seconds: schedule.duration.unwrap_or(seconds),
            unit: schedule.unit()?,
            steps: steps.collect(),
        })
    }
}
