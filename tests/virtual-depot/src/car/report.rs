//! What a car's computers know, by the names of the catalogue.

use super::{Activity, Car};

/// A function from a car to a value in the catalogue's unit.
pub type Report = fn(&Car) -> f64;

/// What stands for the signal of this name; `None` if the car does not have it.
pub fn report(signal: &str) -> Option<Report> {
    const BATTERY: &str = "Vehicle.Powertrain.TractionBattery.";
    const MOTOR: &str = "Vehicle.Powertrain.ElectricMotor.";
    if let Some(rest) = signal.strip_prefix(BATTERY) {
        return battery(rest);
    }
    if let Some(rest) = signal.strip_prefix(MOTOR) {
        return Some(match rest {
            "Speed" => |car| car.motion.motor_speed(),
            "Torque" => |car| car.motion.motor_torque(),
            "Temperature" => |car| car.motor_temperature,
            _ => return None,
        });
    }
    Some(match signal {
        "Vehicle.Speed" => |car| car.motion.speed * 3.6,
        "Vehicle.TraveledDistance" => |car| car.motion.odometer / 1000.0,
        "Vehicle.CurrentLocation.Latitude" => |car| car.position().0,
        "Vehicle.CurrentLocation.Longitude" => |car| car.position().1,
        "Vehicle.CurrentLocation.Altitude" => |car| car.measured_altitude(),
        "Vehicle.CurrentLocation.Heading" => |car| car.motion.heading,
        "Vehicle.Exterior.AirTemperature" | "Vehicle.OBD.AmbientAirTemperature" => {
            |car| car.outside.value
        }
        "Vehicle.Cabin.HVAC.AmbientAirTemperature" => |car| car.cabin_temperature(),
        "Vehicle.LowVoltageBattery.CurrentVoltage" | "Vehicle.OBD.ControlModuleVoltage" => {
            |car| car.low_voltage
        }
        "Vehicle.Powertrain.Transmission.CurrentGear" => |car| car.gear(),
        "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure" => |car| car.tyres[0].value,
        "Vehicle.Chassis.Axle.Row1.Wheel.Right.Tire.Pressure" => |car| car.tyres[1].value,
        "Vehicle.Chassis.Axle.Row2.Wheel.Left.Tire.Pressure" => |car| car.tyres[2].value,
        "Vehicle.Chassis.Axle.Row2.Wheel.Right.Tire.Pressure" => |car| car.tyres[3].value,
        "Vehicle.OBD.RunTime" => |car| car.run_time,
        "Vehicle.OBD.HybridBatteryRemaining" => |car| car.battery.state_of_charge * 100.0,
        _ => return None,
    })
}

fn battery(rest: &str) -> Option<Report> {
    Some(match rest {
        "StateOfCharge.Current" => |car| car.battery.state_of_charge * 100.0,
        "StateOfCharge.Displayed" => |car| car.displayed_charge() * 100.0,
        "StateOfHealth" => |car| car.reported_health() * 100.0,
        "NetCapacity" => |car| car.battery.energy_when_new() * car.reported_health() / 1000.0,
        "CurrentVoltage" => |car| car.measured_voltage(),
        "CurrentCurrent" => |car| car.measured_current(),
        "CurrentPower" => |car| car.measured_voltage() * car.measured_current(),
        "PowerLoss" => |car| car.battery.heat(),
        "Temperature.Min" => |car| car.cell_temperatures()[0],
        "Temperature.Average" => |car| car.cell_temperatures()[1],
        "Temperature.Max" => |car| car.cell_temperatures()[2],
        "CellVoltage.Min" => |car| car.battery.extremes().least.1,
        "CellVoltage.IdMin" => |car| f64::from(car.battery.extremes().least.0),
        "CellVoltage.Max" => |car| car.battery.extremes().greatest.1,
        "CellVoltage.IdMax" => |car| f64::from(car.battery.extremes().greatest.0),
        "AccumulatedChargedEnergy" => |car| car.battery.charged / 1000.0,
        "AccumulatedConsumedEnergy" => |car| car.battery.consumed / 1000.0,
        "Range" => |car| car.range(),
        "Charging.IsCharging" => |car| flag(car.activity == Activity::Charging),
        "Charging.IsChargingCableConnected" => |car| flag(car.plugged),
        "Charging.TimeToComplete" => |car| car.time_to_complete(),
        "Charging.ChargeRate" => |car| car.charge_rate(),
        _ => return None,
    })
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
