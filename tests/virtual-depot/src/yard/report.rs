//! What stations and meters know, by the names of the catalogue.

use super::{Charger, Meter, Phasor};

/// A function from a station to a value in the catalogue's unit; `None` while there is no value.
pub type ChargerReport = fn(&Charger) -> Option<f64>;

/// A function from a meter to a value in the catalogue's unit.
pub type MeterReport = fn(&Meter) -> Option<f64>;

/// What stands for an OCPP measurand at a station; `None` if stations do not have it.
pub fn charger_report(signal: &str) -> Option<ChargerReport> {
    Some(match signal {
        "ChargePointStatus" => |c| Some(f64::from(c.status as u8)),
        "ErrorCode" => |c| Some(f64::from(c.error)),
        "Power.Active.Import" => |c| Some(c.power),
        "Power.Offered" => |c| Some(c.offered_power()),
        "Current.Import.L1" => |c| Some(c.currents[0]),
        "Current.Import.L2" => |c| Some(c.currents[1]),
        "Current.Import.L3" => |c| Some(c.currents[2]),
        "Voltage.L1-N" => |c| Some(c.voltages[0]),
        "Voltage.L2-N" => |c| Some(c.voltages[1]),
        "Voltage.L3-N" => |c| Some(c.voltages[2]),
        "Energy.Active.Import.Register" => |c| Some(c.energy.floor()),
        "Current.Offered" => |c| Some(c.offered_current()),
        "Temperature" => |c| Some(c.temperature),
        "SoC" => |c| c.car.map(|_| c.state_of_charge),
        "Frequency" => |c| Some(c.frequency),
        _ => return None,
    })
}

/// What stands for a SunSpec point at a meter; `None` if meters do not have it.
pub fn meter_report(signal: &str) -> Option<MeterReport> {
    Some(match signal {
        "W" => |m| Some(m.shown.total().re),
        "WphA" => |m| Some(m.shown.power[0].re),
        "WphB" => |m| Some(m.shown.power[1].re),
        "WphC" => |m| Some(m.shown.power[2].re),
        "VA" => |m| Some(m.shown.total().size()),
        "VAR" => |m| Some(m.shown.total().im),
        "PF" => |m| Some(power_factor(m.shown.total())),
        "AphA" => |m| Some(signed_current(m, 0)),
        "AphB" => |m| Some(signed_current(m, 1)),
        "AphC" => |m| Some(signed_current(m, 2)),
        "N" => |m| Some(m.shown.neutral),
        "PhVphA" => |m| Some(m.shown.voltages[0].size()),
        "PhVphB" => |m| Some(m.shown.voltages[1].size()),
        "PhVphC" => |m| Some(m.shown.voltages[2].size()),
        "PPVphAB" => |m| Some((m.shown.voltages[0] - m.shown.voltages[1]).size()),
        "PPVphBC" => |m| Some((m.shown.voltages[1] - m.shown.voltages[2]).size()),
        "PPVphCA" => |m| Some((m.shown.voltages[2] - m.shown.voltages[0]).size()),
        "Hz" => |m| Some(m.shown.frequency),
        "TotWhImp" => |m| Some(m.shown.energy.floor()),
        "TotWhExp" => |m| Some(m.shown.exported.floor()),
        "TotVArhImp" => |m| Some(m.shown.reactive_energy.floor()),
        _ => return None,
    })
}

fn power_factor(power: Phasor) -> f64 {
    let size = power.size();
    if size == 0.0 { 1.0 } else { power.re / size }
}

/// The current of a phase, with the sign of its power.
fn signed_current(meter: &Meter, phase: usize) -> f64 {
    meter.shown.currents[phase]
        .size()
        .copysign(meter.shown.power[phase].re)
}
