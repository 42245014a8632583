//! What a vehicle is doing, from what it says. Decides how often it may be asked: a sleeping one never, so that no
//! 12 V battery goes flat.

use std::time::Duration;

use shared_protocol::{SignalDef, SignalRef, catalogue};
use vehicles::profile::VehicleState;

/// A bus that has been silent for so long belongs to a vehicle that sleeps.
const SILENT: Duration = Duration::from_secs(10);
/// A vehicle that neither drives nor charges is asked for so long after it stopped.
const AFTER_USE: Duration = Duration::from_secs(60);
/// Below this the 12 V battery must not be loaded by waking ECUs.
const LOW_VOLTAGE: f64 = 12.2;

/// Follows one vehicle.
#[derive(Debug, Default)]
pub(super) struct Watch {
    heard: Option<Duration>,
    used: Option<Duration>,
    driving: bool,
    charging: bool,
    low: bool,
}

impl Watch {
    /// A frame that is no answer to us: the vehicle is awake by itself.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = Some(now);
        self.used.get_or_insert(now);
    }

    /// A value that it said.
    pub(super) fn value(&mut self, now: Duration, def: &SignalDef, raw: i64) {
        let SignalRef::Catalogue(id) = def.signal else {
            return;
        };
        let Some(signal) = catalogue().get(id) else {
            return;
        };
        let value = || def.encoding.value(raw);
        match signal.column.as_str() {
            "speed" => self.driving = value().abs() > 0.5,
            "is_charging" => self.charging = value() > 0.5,
            "low_voltage" => self.low = value() < LOW_VOLTAGE,
            _ => return,
        }
        if self.driving || self.charging {
            self.used = Some(now);
        }
    }

    /// What it is doing, as far as asking it goes.
    pub(super) fn state(&self, now: Duration) -> VehicleState {
        let within = |since: Option<Duration>, limit| {
            since.is_some_and(|since| now.saturating_sub(since) < limit)
        };
        if !within(self.heard, SILENT) || self.low && !self.charging {
            VehicleState::Asleep
        } else if self.charging {
            VehicleState::Charging
        } else if self.driving {
            VehicleState::Driving
        } else if within(self.used, AFTER_USE) {
            VehicleState::Awake
        } else {
            VehicleState::Asleep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::Encoding;

    fn def(name: &str) -> SignalDef {
        let signal = SignalRef::Catalogue(catalogue().by_name(name).unwrap().id);
        SignalDef {
            signal,
            encoding: Encoding::PLAIN,
        }
    }

    #[test]
    fn a_parked_vehicle_is_left_alone() {
        let s = Duration::from_secs;
        let mut watch = Watch::default();
        assert_eq!(watch.state(s(0)), VehicleState::Asleep);
        watch.heard(s(1));
        assert_eq!(watch.state(s(2)), VehicleState::Awake);
        watch.value(s(2), &def("Vehicle.Speed"), 30);
        assert_eq!(watch.state(s(2)), VehicleState::Driving);
        watch.value(s(100), &def("Vehicle.Speed"), 0);
        watch.heard(s(100));
        // Key off: asked for a minute more since it last moved, then not, though its bus still talks.
        assert_eq!(watch.state(s(50)), VehicleState::Awake);
        assert_eq!(watch.state(s(100)), VehicleState::Asleep);
        watch.value(
            s(101),
            &def("Vehicle.Powertrain.TractionBattery.Charging.IsCharging"),
            1,
        );
        assert_eq!(watch.state(s(101)), VehicleState::Charging);
        assert_eq!(watch.state(s(120)), VehicleState::Asleep);
    }

    #[test]
    fn a_weak_12_v_battery_is_not_loaded() {
        let s = Duration::from_secs;
        let mut watch = Watch::default();
        watch.heard(s(1));
        watch.value(s(1), &def("Vehicle.LowVoltageBattery.CurrentVoltage"), 12);
        assert_eq!(watch.state(s(1)), VehicleState::Asleep);
        watch.value(s(1), &def("Vehicle.LowVoltageBattery.CurrentVoltage"), 14);
        assert_eq!(watch.state(s(1)), VehicleState::Awake);
    }
}
