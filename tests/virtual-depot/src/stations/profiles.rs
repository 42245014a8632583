//! What a station may draw by the profiles it was given (OCPP 1.6 §3.13, 2.0.1 K01): a ceiling for the station, a default
//! for its transactions, and a lease for the one that goes on, over that default while it lasts.

use jiff::Timestamp;
use serde_json::Value;

use super::Version;

/// The profiles of a station with one socket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Profiles {
    ceiling: Option<f64>,
    fallback: Option<f64>,
    lease: Option<Lease>,
}

#[derive(Clone, Debug, PartialEq)]
struct Lease {
    /// Of which transaction, in its version's words.
    transaction: Value,
    amperes: f64,
    until: Option<Timestamp>,
}

impl Profiles {
    /// Takes the payload of a `SetChargingProfile`; false when it cannot be used.
    pub(super) fn set(&mut self, version: Version, payload: &Value) -> bool {
        let (profile, schedule) = match version {
            Version::V16 => {
                let profile = &payload["csChargingProfiles"];
                (profile, &profile["chargingSchedule"])
            }
            Version::V201 => {
                let profile = &payload["chargingProfile"];
                (profile, &profile["chargingSchedule"][0])
            }
        };
        let limit = schedule["chargingSchedulePeriod"][0]["limit"].as_f64();
        let (Some(amperes), true) = (limit, schedule["chargingRateUnit"] == "A") else {
            return false;
        };
        match profile["chargingProfilePurpose"].as_str() {
            Some("ChargePointMaxProfile" | "ChargingStationMaxProfile") => {
                self.ceiling = Some(amperes);
            }
            Some("TxDefaultProfile") => self.fallback = Some(amperes),
            Some("TxProfile") => {
                let start = schedule["startSchedule"].as_str();
                let start: Option<Timestamp> = start.and_then(|text| text.parse().ok());
                let lasts = schedule["duration"].as_i64();
                let end = start.zip(lasts).and_then(|(start, lasts)| {
                    start
                        .checked_add(jiff::SignedDuration::from_secs(lasts))
                        .ok()
                });
                self.lease = Some(Lease {
                    transaction: profile["transactionId"].clone(),
                    amperes,
                    until: end,
                });
            }
            _ => return false,
        }
        true
    }

    /// None is left.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The station was without power: what was leased is lost.
    pub(super) fn reboot(&mut self) {
        self.lease = None;
    }

    /// The most that may be drawn now, in A; `transaction` is the one that goes on.
    pub(super) fn limit(&self, now: Timestamp, transaction: &Value, rated: f64) -> f64 {
        let lease = self.lease.as_ref().filter(|lease| {
            lease.transaction == *transaction && lease.until.is_none_or(|until| now < until)
        });
        let limit = lease.map(|lease| lease.amperes).or(self.fallback);
        limit
            .unwrap_or(rated)
            .min(self.ceiling.unwrap_or(rated))
            .min(rated)
    }

    /// The same for so many seconds from now on: from which of them on how much, in A.
    pub(super) fn composite(
        &self,
        now: Timestamp,
        seconds: i64,
        transaction: &Value,
        rated: f64,
    ) -> Vec<(i64, f64)> {
        let mut found: Vec<(i64, f64)> = Vec::new();
        for second in 0..seconds {
            let at = now + jiff::SignedDuration::from_secs(second);
            let limit = self.limit(at, transaction, rated);
            if found.last().is_none_or(|(_, last)| *last != limit) {
                found.push((second, limit));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lease_ends_by_itself_under_the_ceiling() {
        let mut profiles = Profiles::default();
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let set = |profiles: &mut Profiles, purpose: &str, amperes: f64| {
            let schedule = json!({
                "chargingRateUnit": "A", "startSchedule": at(0), "duration": 50,
                "chargingSchedulePeriod": [{ "startPeriod": 0, "limit": amperes }],
            });
            let profile = json!({
                "chargingProfilePurpose": purpose, "transactionId": 7, "chargingSchedule": schedule,
            });
            profiles.set(Version::V16, &json!({ "csChargingProfiles": profile }))
        };
        let seven = json!(7);
        assert_eq!(profiles.limit(at(1), &seven, 32.0), 32.0);
        assert!(set(&mut profiles, "TxDefaultProfile", 8.0));
        assert!(set(&mut profiles, "TxProfile", 20.0));
        assert_eq!(profiles.limit(at(49), &seven, 32.0), 20.0);
        assert_eq!(profiles.limit(at(50), &seven, 32.0), 8.0);
        assert_eq!(profiles.limit(at(49), &json!(8), 32.0), 8.0);
        let ahead = profiles.composite(at(10), 60, &seven, 32.0);
        assert_eq!(ahead, [(0, 20.0), (40, 8.0)]);
        assert!(set(&mut profiles, "ChargePointMaxProfile", 16.0));
        assert_eq!(profiles.limit(at(49), &seven, 32.0), 16.0);
        profiles.reboot();
        assert_eq!(profiles.limit(at(49), &seven, 32.0), 8.0);
        assert!(!set(&mut profiles, "Unheard", 1.0));
    }
}
