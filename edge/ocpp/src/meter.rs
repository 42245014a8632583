//! Sampled values become readings of the catalogue's signals.
//!
//! What a station leaves out has a default: the measurand is `Energy.Active.Import.Register`, its unit Wh, the location the
//! outlet (OCPP 1.6 §7.43, 2.0.1 §2.46). What the catalogue has no signal for is left out; so is what would be the value of
//! another place (the inlet's register is what the station itself consumes, too) or of another time.

use jiff::Timestamp;
use ocpp_kit::{v1_6, v2_0_1};
use serde::{Deserialize, Serialize};

/// An energy register in thousandths of a watt-hour: exact for every register that counts in Wh or kWh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wh(pub i64);

impl Wh {
    /// So many watt-hours.
    pub const fn whole(wh: i64) -> Self {
        Self(wh.saturating_mul(1000))
    }
}

/// One value of one signal of the catalogue, in thousandths of the signal's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Number of the EVSE (2.0.1) or connector (1.6) whose it is; 0 is the station as a whole.
    pub evse: i32,
    /// When, by the station's clock.
    pub time: Timestamp,
    /// The catalogue's name of the signal.
    pub signal: &'static str,
    /// Thousandths of the signal's unit.
    pub milli: i64,
}

/// A sampled value of either version, as it was said.
#[derive(Clone, Debug)]
pub(crate) struct Sampled<'a> {
    pub(crate) value: String,
    pub(crate) context: Option<&'a str>,
    pub(crate) measurand: Option<&'a str>,
    pub(crate) phase: Option<&'a str>,
    pub(crate) location: Option<&'a str>,
    pub(crate) unit: Option<&'a str>,
    pub(crate) multiplier: i32,
    pub(crate) signed: bool,
}

impl<'a> From<&'a v1_6::SampledValue> for Sampled<'a> {
    fn from(value: &'a v1_6::SampledValue) -> Self {
        Self {
            value: value.value.clone(),
            context: value.context.as_ref().map(v1_6::ReadingContext::as_str),
            measurand: value.measurand.as_ref().map(v1_6::Measurand::as_str),
            phase: value.phase.as_ref().map(v1_6::Phase::as_str),
            location: value.location.as_ref().map(v1_6::Location::as_str),
            unit: value.unit.as_ref().map(v1_6::UnitOfMeasure::as_str),
            multiplier: 0,
            signed: value.format == Some(v1_6::ValueFormat::SignedData),
        }
    }
}

impl<'a> From<&'a v2_0_1::SampledValue> for Sampled<'a> {
    fn from(value: &'a v2_0_1::SampledValue) -> Self {
        let unit = value.unit_of_measure.as_ref();
        Self {
            value: value.value.to_string(),
            context: value.context.as_ref().map(v2_0_1::ReadingContext::as_str),
            measurand: value.measurand.as_ref().map(v2_0_1::Measurand::as_str),
            phase: value.phase.as_ref().map(v2_0_1::Phase::as_str),
            location: value.location.as_ref().map(v2_0_1::Location::as_str),
            unit: unit.and_then(|unit| unit.unit.as_deref()),
            multiplier: unit.and_then(|unit| unit.multiplier).unwrap_or(0),
            signed: false,
        }
    }
}

const REGISTER: &str = "Energy.Active.Import.Register";

/// The readings of values that were sampled together, and their energy register.
pub(crate) fn readings(
    evse: i32,
    time: Timestamp,
    sampled: &[Sampled<'_>],
) -> (Vec<Reading>, Option<Wh>) {
    // Beside what is read now, stations repeat what was read when the transaction began.
    let fresh = |one: &&Sampled<'_>| {
        one.context != Some("Transaction.Begin")
            || !sampled.iter().any(|other| {
                other.context != Some("Transaction.Begin")
                    && (other.measurand, other.phase) == (one.measurand, one.phase)
            })
    };
    let mut readings: Vec<Reading> = Vec::new();
    for one in sampled.iter().filter(fresh) {
        if let Some((signal, milli)) = reading(one)
            && !readings.iter().any(|known| known.signal == signal)
        {
            readings.push(Reading {
                evse,
                time,
                signal,
                milli,
            });
        }
    }
    let register = readings.iter().find(|one| one.signal == REGISTER);
    let register = register.map(|one| Wh(one.milli));
    (readings, register)
}

fn reading(one: &Sampled<'_>) -> Option<(&'static str, i64)> {
    if one.signed {
        return None;
    }
    let measurand = one.measurand.unwrap_or(REGISTER);
    let signal = match (measurand, one.phase) {
        (REGISTER, None) => REGISTER,
        ("Power.Active.Import", None) => "Power.Active.Import",
        ("Current.Import", Some("L1" | "L1-N")) => "Current.Import.L1",
        ("Current.Import", Some("L2" | "L2-N")) => "Current.Import.L2",
        ("Current.Import", Some("L3" | "L3-N")) => "Current.Import.L3",
        ("Voltage", Some("L1" | "L1-N")) => "Voltage.L1-N",
        ("Voltage", Some("L2" | "L2-N")) => "Voltage.L2-N",
        ("Voltage", Some("L3" | "L3-N")) => "Voltage.L3-N",
        ("Current.Offered", None) => "Current.Offered",
        ("Power.Offered", None) => "Power.Offered",
        ("Temperature", None) => "Temperature",
        ("SoC", None) => "SoC",
        ("Frequency", None) => "Frequency",
        _ => return None,
    };
    let here = match signal {
        "SoC" => matches!(one.location, None | Some("EV" | "Outlet")),
        "Temperature" => matches!(one.location, None | Some("Body" | "Outlet")),
        "Frequency" => true,
        _ => matches!(one.location, None | Some("Outlet")),
    };
    if !here {
        return None;
    }
    let milli = milli(&one.value, one.multiplier.checked_add(3)?)?;
    let plain: &[&str] = match signal {
        REGISTER => &["Wh"],
        "Power.Active.Import" | "Power.Offered" => &["W"],
        "Temperature" => &["Celsius", "Celcius"],
        "SoC" => &["Percent", "%"],
        "Frequency" => &["Hertz", "Hz"],
        _ if signal.starts_with("Current") => &["A"],
        _ => &["V"],
    };
    if one.unit.is_none_or(|unit| plain.contains(&unit)) {
        return Some((signal, milli));
    }
    let milli = match (signal, one.unit?) {
        (REGISTER, "kWh") | ("Power.Active.Import" | "Power.Offered", "kW") => {
            // Read again, so that no digit is lost.
            self::milli(&one.value, one.multiplier.checked_add(6)?)?
        }
        ("Temperature", "K") => milli.checked_sub(273_150)?,
        ("Temperature", "Fahrenheit") => milli.checked_sub(32_000)?.checked_mul(5)? / 9,
        _ => return None,
    };
    Some((signal, milli))
}

/// A decimal number times `10^exponent`, rounded to the nearest whole one; `None` when it is no number or out of range.
pub(crate) fn milli(text: &str, exponent: i32) -> Option<i64> {
    let text = text.trim();
    let (text, negative) = match text.as_bytes().first()? {
        b'-' => (&text[1..], true),
        b'+' => (&text[1..], false),
        _ => (text, false),
    };
    let (digits, power) = match text.split_once(['e', 'E']) {
        Some((digits, power)) => (digits, power.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    if all().count() == 0 || all().count() > 64 || !all().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // How many of the digits stand before the point once it is moved.
    let point = i32::try_from(whole.len())
        .ok()?
        .checked_add(exponent)?
        .checked_add(power)?;
    let mut value: i64 = 0;
    let mut rest = all();
    for _ in 0..point.clamp(0, 128) {
        let digit = rest.next().map_or(0, |byte| i64::from(byte - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    if point >= 0 && rest.next().is_some_and(|digit| digit >= b'5') {
        value = value.checked_add(1)?;
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(value: &str) -> Sampled<'_> {
        Sampled {
            value: value.to_owned(),
            context: None,
            measurand: None,
            phase: None,
            location: None,
            unit: None,
            multiplier: 0,
            signed: false,
        }
    }

    fn only(one: Sampled<'_>) -> Option<(&'static str, i64)> {
        let (readings, _) = readings(1, Timestamp::UNIX_EPOCH, &[one]);
        readings.first().map(|one| (one.signal, one.milli))
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(only(plain("1234")), Some((REGISTER, 1_234_000)));
        let kwh = Sampled {
            unit: Some("kWh"),
            ..plain("1.2345678")
        };
        assert_eq!(only(kwh), Some((REGISTER, 1_234_568)));
        let power = Sampled {
            measurand: Some("Power.Active.Import"),
            unit: Some("kW"),
            ..plain("3.914")
        };
        assert_eq!(only(power), Some(("Power.Active.Import", 3_914_000)));
        let multiplied = Sampled {
            multiplier: 3,
            ..plain("1.5")
        };
        assert_eq!(only(multiplied), Some((REGISTER, 1_500_000)));
    }

    #[test]
    fn what_belongs_elsewhere_is_left_out() {
        let at = |location, measurand, unit| Sampled {
            measurand,
            location,
            unit,
            ..plain("7")
        };
        assert_eq!(only(at(Some("Inlet"), None, None)), None);
        assert_eq!(
            only(at(None, Some("Energy.Reactive.Import.Register"), None)),
            None
        );
        assert_eq!(only(at(None, Some("Current.Import"), Some("V"))), None);
        assert_eq!(only(plain("NaN")), None);
        assert_eq!(only(plain("")), None);
        assert_eq!(only(plain("1e400")), None);
    }

    #[test]
    fn what_is_repeated_from_the_beginning_is_not_now() {
        let begun = Sampled {
            context: Some("Transaction.Begin"),
            ..plain("0")
        };
        let now = Sampled {
            context: Some("Sample.Periodic"),
            ..plain("581")
        };
        let (found, register) = readings(1, Timestamp::UNIX_EPOCH, &[begun.clone(), now]);
        assert_eq!((found.len(), register), (1, Some(Wh::whole(581))));
        let (_, register) = readings(1, Timestamp::UNIX_EPOCH, &[begun]);
        assert_eq!(register, Some(Wh(0)));
    }

    proptest! {
        #[test]
        fn every_number_is_read_exactly(value in -1_000_000_000_000i64..1_000_000_000_000, places in 0usize..4) {
            let magnitude = value.unsigned_abs();
            let scale = 10u64.pow(places as u32);
            let sign = if value < 0 { "-" } else { "" };
            let text = if places == 0 {
                format!("{value}")
            } else {
                format!("{sign}{}.{:0places$}", magnitude / scale, magnitude % scale)
            };
            prop_assert_eq!(milli(&text, places as i32), Some(value));
        }

        #[test]
        fn nothing_panics(text in ".{0,80}", exponent in any::<i32>()) {
            let _ = milli(&text, exponent);
        }
    }
}
