//! How often a command is asked, by what the vehicle is doing.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a vehicle is doing, as far as asking it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VehicleState {
    /// Its buses are silent. Asking may wake it and drain its 12 V battery.
    Asleep,
    /// Its buses talk, and it neither drives nor charges.
    Awake,
    /// It is being charged.
    Charging,
    /// It is ready to drive.
    Driving,
}

/// Intervals by state, such as `{ awake = "1min", charging = "10s", driving = "5s" }`. In a state without an interval the
/// command is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Every {
    /// While its buses are silent.
    #[serde(default, with = "interval", skip_serializing_if = "Option::is_none")]
    pub asleep: Option<Duration>,
    /// While it neither drives nor charges.
    #[serde(default, with = "interval", skip_serializing_if = "Option::is_none")]
    pub awake: Option<Duration>,
    /// While it is being charged.
    #[serde(default, with = "interval", skip_serializing_if = "Option::is_none")]
    pub charging: Option<Duration>,
    /// While it is ready to drive.
    #[serde(default, with = "interval", skip_serializing_if = "Option::is_none")]
    pub driving: Option<Duration>,
}

impl Every {
    /// The interval in this state.
    pub fn in_state(&self, state: VehicleState) -> Option<Duration> {
        match state {
            VehicleState::Asleep => self.asleep,
            VehicleState::Awake => self.awake,
            VehicleState::Charging => self.charging,
            VehicleState::Driving => self.driving,
        }
    }

    /// All intervals given, with their keys.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        [
            ("asleep", self.asleep),
            ("awake", self.awake),
            ("charging", self.charging),
            ("driving", self.driving),
        ]
        .into_iter()
        .filter_map(|(key, interval)| Some((key, interval?)))
    }
}

/// Durations that may be absent, as texts.
pub(super) mod interval {
    use super::{Deserializer, Duration, Serializer};

    // serde asks so.
    #[expect(clippy::ref_option)]
    pub(in crate::profile) fn serialize<S: Serializer>(
        interval: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match interval {
            Some(interval) => serializer.serialize_str(&config_file::duration_text(*interval)),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::profile) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        // Called only where the key is there.
        config_file::duration(deserializer).map(Some)
    }
}
