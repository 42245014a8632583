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
/// So long a vehicle must have stood still before anything in it may be changed.
const STANDS: Duration = Duration::from_secs(60);
/// What was not said for so long is not known: it may have moved meanwhile.
const UNHEARD: Duration = Duration::from_secs(15);
/// Above this, measured at the connector by an adapter, something charges the 12 V battery: the vehicle is in use.
const IN_USE_MV: u32 = 13_000;

/// Follows one vehicle.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each of them is known apart from the others"
)]
pub(super) struct Watch {
    heard: Option<Duration>,
    used: Option<Duration>,
    driving: bool,
    charging: bool,
    low: bool,
    /// Since when its speed has been 0, and when it last said so.
    still: Option<(Duration, Duration)>,
    /// Somebody has ordered something and waits.
    attended: bool,
}

impl Watch {
    /// A frame that is no answer to us: the vehicle is awake by itself.
    /// Tells whether it woke up just now: then it may be another one, in another state.
    pub(super) fn heard(&mut self, now: Duration) -> bool {
        let woke = self
            .heard
            .is_none_or(|heard| now.saturating_sub(heard) >= SILENT);
        self.heard = Some(now);
        if woke {
            *self = Self {
                heard: Some(now),
                used: Some(now),
                attended: self.attended,
                ..Self::default()
            };
        }
        woke
    }

    /// Voltage at the connector, measured without asking anybody: what an adapter knows that does not hear the bus. Tells
    /// whether the vehicle woke up just now.
    pub(super) fn voltage(&mut self, now: Duration, millivolts: u32) -> bool {
        let woke = millivolts >= IN_USE_MV && self.heard(now);
        if millivolts >= IN_USE_MV {
            self.used = Some(now);
        }
        self.low = f64::from(millivolts) < LOW_VOLTAGE * 1000.0;
        woke
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
            "speed" => {
                self.driving = value().abs() > 0.5;
                let since = self
                    .still
                    .filter(|(_, last)| now.saturating_sub(*last) <= UNHEARD);
                let since = since.map_or(now, |(since, _)| since);
                self.still = (value().abs() < 0.05).then_some((since, now));
            }
            "is_charging" => self.charging = value() > 0.5,
            "low_voltage" => self.low = value() < LOW_VOLTAGE,
            _ => return,
        }
        if self.driving || self.charging {
            self.used = Some(now);
        }
    }

    /// Somebody has ordered something of it, and waits: it is asked as long as it is awake by itself.
    pub(super) fn attend(&mut self, attended: bool) {
        self.attended = attended;
    }

    /// Whether it has been standing still for a minute: every speed that it said, at least each 15 s, was 0.
    pub(super) fn stands(&self, now: Duration) -> bool {
        self.state(now) != VehicleState::Asleep
            && self.still.is_some_and(|(since, last)| {
                now.saturating_sub(since) >= STANDS && now.saturating_sub(last) <= UNHEARD
            })
    }

    /// What it is doing, as far as asking it goes.
    pub(super) fn state(&self, now: Duration) -> VehicleState {
        let within = |since: Option<Duration>, limit| {
            since.is_some_and(|since| now.saturating_sub(since) < limit)
        };
        if !within(self.heard, SILENT) || self.low {
            VehicleState::Asleep
        } else if self.charging {
            VehicleState::Charging
        } else if self.driving {
            VehicleState::Driving
        } else if self.attended || within(self.used, AFTER_USE) {
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
        for second in 2..=100 {
            watch.heard(s(second));
        }
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
        // Not even while it charges.
        watch.value(
            s(1),
            &def("Vehicle.Powertrain.TractionBattery.Charging.IsCharging"),
            1,
        );
        watch.value(s(1), &def("Vehicle.LowVoltageBattery.CurrentVoltage"), 12);
        assert_eq!(watch.state(s(1)), VehicleState::Asleep);
    }

    #[test]
    fn one_that_wakes_up_again_may_be_asked_for_a_minute() {
        let s = Duration::from_secs;
        let mut watch = Watch::default();
        assert!(watch.heard(s(1)));
        for second in 2..=70 {
            assert!(!watch.heard(s(second)));
        }
        assert_eq!(watch.state(s(70)), VehicleState::Asleep);
        assert!(watch.heard(s(100)));
        assert_eq!(watch.state(s(100)), VehicleState::Awake);
    }

    #[test]
    fn an_adapter_that_hears_nothing_goes_by_the_voltage() {
        let s = Duration::from_secs;
        let mut watch = Watch::default();
        assert!(!watch.voltage(s(1), 12_600));
        assert_eq!(watch.state(s(1)), VehicleState::Asleep);
        assert!(watch.voltage(s(6), 14_300));
        assert_eq!(watch.state(s(6)), VehicleState::Awake);
        for second in (10..=100).step_by(5) {
            assert!(!watch.voltage(s(second), 14_300));
        }
        assert_eq!(watch.state(s(100)), VehicleState::Awake);
        // Key off: nothing charges the 12 V battery any more.
        watch.voltage(s(105), 12_700);
        assert_eq!(watch.state(s(111)), VehicleState::Asleep);
        watch.voltage(s(112), 14_000);
        watch.voltage(s(113), 12_100);
        assert_eq!(watch.state(s(113)), VehicleState::Asleep);
    }

    #[test]
    fn only_a_minute_without_a_gap_is_standing_still() {
        let s = Duration::from_secs;
        let mut watch = Watch::default();
        watch.attend(true);
        let mut say = |second: u64, speed: i64| {
            watch.heard(s(second));
            watch.value(s(second), &def("Vehicle.Speed"), speed);
            watch.stands(s(second))
        };
        assert!((0..60).step_by(5).all(|second| !say(second, 0)));
        assert!(say(60, 0));
        // It rolls.
        assert!(!say(61, 1));
        assert!((62..122).step_by(5).all(|second| !say(second, 0)));
        assert!(say(122, 0));
        // A quarter of a minute in which nobody knows.
        assert!(!say(138, 0));
        assert!((139..198).step_by(5).all(|second| !say(second, 0)));
        assert!(say(198, 0));
        assert!(watch.stands(s(207)));
        // Its bus is silent: it sleeps, and is left alone whoever waits.
        assert!(!watch.stands(s(208)));
        assert_eq!(watch.state(s(208)), VehicleState::Asleep);
    }

    #[test]
    fn one_that_is_attended_is_asked_but_never_woken() {
        let s = Duration::from_secs;
        let mut watch = Watch::default();
        watch.attend(true);
        assert_eq!(watch.state(s(1)), VehicleState::Asleep);
        for second in 2..=100 {
            watch.heard(s(second));
        }
        assert_eq!(watch.state(s(100)), VehicleState::Awake);
        watch.value(s(100), &def("Vehicle.LowVoltageBattery.CurrentVoltage"), 12);
        assert_eq!(watch.state(s(100)), VehicleState::Asleep);
    }
}
