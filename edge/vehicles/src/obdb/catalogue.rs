//! Which signal of the catalogue a metric of OBDb is, and from which units it can be converted exactly.

use shared_protocol::{Decimal, catalogue::catalogue};

use crate::{exact, profile::DiagnosticSignal};

/// Metric, and the catalogue's signal. The sign of `tractionBatteryCurrent` differs from set to set, so it is not here.
const METRICS: [(&str, &str); 14] = [
    ("electricRange", "Vehicle.Powertrain.TractionBattery.Range"),
    ("engineLoad", "Vehicle.OBD.EngineLoad"),
    (
        "frontLeftTirePressure",
        "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure",
    ),
    (
        "frontRightTirePressure",
        "Vehicle.Chassis.Axle.Row1.Wheel.Right.Tire.Pressure",
    ),
    (
        "isCharging",
        "Vehicle.Powertrain.TractionBattery.Charging.IsCharging",
    ),
    ("odometer", "Vehicle.TraveledDistance"),
    (
        "pluggedIn",
        "Vehicle.Powertrain.TractionBattery.Charging.IsChargingCableConnected",
    ),
    (
        "rearLeftTirePressure",
        "Vehicle.Chassis.Axle.Row2.Wheel.Left.Tire.Pressure",
    ),
    (
        "rearRightTirePressure",
        "Vehicle.Chassis.Axle.Row2.Wheel.Right.Tire.Pressure",
    ),
    ("speed", "Vehicle.Speed"),
    (
        "starterBatteryVoltage",
        "Vehicle.LowVoltageBattery.CurrentVoltage",
    ),
    (
        "stateOfCharge",
        "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
    ),
    (
        "stateOfHealth",
        "Vehicle.Powertrain.TractionBattery.StateOfHealth",
    ),
    (
        "tractionBatteryVoltage",
        "Vehicle.Powertrain.TractionBattery.CurrentVoltage",
    ),
];

/// Unit of OBDb, unit of the catalogue, factor. The pressures' factors are those of NIST SP 811.
const UNITS: [(&str, &str, &str); 21] = [
    ("percent", "percent", "1"),
    ("normal", "percent", "100"),
    ("kilometers", "km", "1"),
    ("miles", "km", "1.609344"),
    ("kilometers", "m", "1000"),
    ("miles", "m", "1609.344"),
    ("meters", "m", "1"),
    ("kilometersPerHour", "km/h", "1"),
    ("milesPerHour", "km/h", "1.609344"),
    ("metersPerSecond", "km/h", "3.6"),
    ("volts", "V", "1"),
    ("millivolts", "V", "0.001"),
    ("kilovolts", "V", "1000"),
    ("kilopascal", "kPa", "1"),
    ("bars", "kPa", "100"),
    ("psi", "kPa", "6.894757293168361"),
    ("kilowattHours", "kWh", "1"),
    ("rpm", "rpm", "1"),
    ("celsius", "celsius", "1"),
    ("offon", "1", "1"),
    ("noyes", "1", "1"),
];

/// Makes a signal the catalogue's, in its unit. `false`, and nothing is changed, where that is not possible exactly.
pub(super) fn map(signal: &mut DiagnosticSignal, metric: &str) -> bool {
    map_exactly(signal, metric).is_some_and(|mapped| {
        *signal = mapped;
        true
    })
}

fn map_exactly(signal: &DiagnosticSignal, metric: &str) -> Option<DiagnosticSignal> {
    let (_, name) = METRICS.iter().find(|(known, _)| *known == metric)?;
    let known = catalogue().by_name(name)?;
    // The codes of an enumeration are not the catalogue's.
    if !signal.texts.is_empty() {
        return None;
    }
    let (.., factor) = UNITS
        .iter()
        .find(|(from, to, _)| *from == signal.unit && *to == known.unit)?;
    let factor: Decimal = factor.parse().ok()?;
    let scaled = |bound: Option<Decimal>| match bound {
        Some(bound) => exact::product(bound, factor).map(Some),
        None => Some(None),
    };
    Some(DiagnosticSignal {
        signal: Some((*name).to_owned()),
        unit: known.unit.clone(),
        multiply: exact::product(signal.multiply, factor)?,
        add: exact::product(signal.add, factor)?,
        min: scaled(signal.min)?,
        max: scaled(signal.max)?,
        none_up_to: scaled(signal.none_up_to)?,
        none_from: scaled(signal.none_from)?,
        ..signal.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_catalogue_and_every_unit_is_used() {
        for (metric, name) in METRICS {
            let known = catalogue()
                .by_name(name)
                .unwrap_or_else(|| panic!("{metric}: {name}"));
            assert!(
                UNITS.iter().any(|(_, to, _)| *to == known.unit),
                "{name} in {}",
                known.unit
            );
        }
        for (.., factor) in UNITS {
            assert!(
                exact::compare(factor.parse().unwrap(), Decimal::ZERO).is_gt(),
                "{factor}"
            );
        }
    }
}
