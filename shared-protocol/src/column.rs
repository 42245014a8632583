//! What one column of samples is: whose, which signal, read by what, and how its raw integers become values.

use bincode::{Decode, Encode};

use crate::{AssetKey, Decimal, SignalId, catalogue::catalogue};

/// How a raw 64-bit integer becomes a value. Sources keep the raw integer; nothing is rounded on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Encoding {
    /// `value = raw × scale + offset`, the raw integer signed.
    Scaled {
        /// Value of one step of the raw integer.
        scale: Decimal,
        /// Value of raw 0.
        offset: Decimal,
    },
    /// The same with the 64 bits read as an unsigned integer; only for raws that can exceed `i64::MAX`.
    Unsigned {
        /// Value of one step of the raw integer.
        scale: Decimal,
        /// Value of raw 0.
        offset: Decimal,
    },
    /// The 64 bits are those of an IEEE 754 binary64 (`f64::to_bits`).
    Float,
}

impl Encoding {
    /// Raw integers that are the value itself.
    pub const PLAIN: Self = Self::Scaled {
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
    };

    /// The value of a raw integer: the `f64` nearest to the exact `raw × scale + offset` ([`Decimal::value`]).
    pub fn value(&self, raw: i64) -> f64 {
        match self {
            Self::Scaled { scale, offset } => Decimal::value(raw.into(), *scale, *offset),
            Self::Unsigned { scale, offset } => {
                Decimal::value(raw.cast_unsigned().into(), *scale, *offset)
            }
            Self::Float => f64::from_bits(raw.cast_unsigned()),
        }
    }

    /// The raw integer in steps of `unit` (a catalogue resolution), rounded half away from zero;
    /// `None` when it does not fit or is not a number.
    #[inline]
    pub fn in_steps_of(&self, raw: i64, unit: Decimal) -> Option<i64> {
        match self {
            Self::Scaled { scale, offset } => Decimal::rescale(raw, *scale, *offset, unit),
            Self::Unsigned { scale, offset } => {
                if raw >= 0 {
                    return Decimal::rescale(raw, *scale, *offset, unit);
                }
                float_in_steps_of(self.value(raw), unit)
            }
            Self::Float => float_in_steps_of(f64::from_bits(raw.cast_unsigned()), unit),
        }
    }
}

fn float_in_steps_of(value: f64, unit: Decimal) -> Option<i64> {
    let steps = (value / unit.to_f64()).round();
    // 2^63 is the first float that an i64 does not hold; NaN is in no range.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
        .contains(&steps)
        .then_some(steps as i64)
}

/// Which signal a column carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum SignalRef {
    /// One of the catalogue.
    Catalogue(SignalId),
    /// One that the catalogue does not know, by the name its definition gives (`VCU_200.RangeAdditionalClimateOff`).
    Named {
        /// Name, unique within the asset.
        name: String,
        /// Unit as its definition writes it; may be empty.
        unit: String,
    },
}

impl SignalRef {
    /// The catalogue's path, or the definition's own name.
    pub fn name(&self) -> &str {
        match self {
            Self::Catalogue(id) => catalogue()
                .get(*id)
                .map_or("(unknown signal)", |s| s.name.as_str()),
            Self::Named { name, .. } => name,
        }
    }

    /// The unit in which values of this signal are given.
    pub fn unit(&self) -> &str {
        match self {
            Self::Catalogue(id) => catalogue().get(*id).map_or("", |s| s.unit.as_str()),
            Self::Named { unit, .. } => unit,
        }
    }
}

/// A signal as a decoder produces it: which one, and what its raw integers mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct SignalDef {
    /// Which signal.
    pub signal: SignalRef,
    /// What its raw integers mean, in the unit of [`SignalRef::unit`].
    pub encoding: Encoding,
}

/// The way by which a sample came into the depot; several may read the same signal, and all stay visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum Source {
    /// Broadcast CAN frames decoded by a DBC.
    Can,
    /// Answers to diagnostic requests (OBD-II, UDS).
    Obd,
    /// Modbus registers.
    Modbus,
    /// OCPP meter values and statuses.
    Ocpp,
    /// The gateway about itself.
    Gateway,
    /// A Teltonika tracker.
    Teltonika,
    /// Geotab's feed.
    Geotab,
    /// JSON over MQTT.
    Json,
}

impl Source {
    /// The number stored in databases; never reused.
    pub const fn number(self) -> i16 {
        match self {
            Self::Can => 1,
            Self::Obd => 2,
            Self::Modbus => 3,
            Self::Ocpp => 4,
            Self::Gateway => 5,
            Self::Teltonika => 6,
            Self::Geotab => 7,
            Self::Json => 8,
        }
    }

    /// The name shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Can => "can",
            Self::Obd => "obd",
            Self::Modbus => "modbus",
            Self::Ocpp => "ocpp",
            Self::Gateway => "gateway",
            Self::Teltonika => "teltonika",
            Self::Geotab => "geotab",
            Self::Json => "json",
        }
    }
}

/// One column of a gateway's samples. Within an epoch columns are numbered from 0 in the order of their
/// first use and never change; a `Columns` block carries each definition once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Column {
    /// Whose signal: the gateway's local key of the asset.
    pub asset: AssetKey,
    /// The way it was read.
    pub source: Source,
    /// Which signal, and what its raw integers mean.
    pub def: SignalDef,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_each_encoding() {
        let scaled = Encoding::Scaled {
            scale: "0.5".parse().unwrap(),
            offset: "-40".parse().unwrap(),
        };
        assert_eq!(scaled.value(100), 10.0);
        let tenths = Encoding::Scaled {
            scale: "0.1".parse().unwrap(),
            offset: Decimal::ZERO,
        };
        assert_eq!(tenths.value(14), 1.4);
        assert_eq!(scaled.in_steps_of(100, "0.1".parse().unwrap()), Some(100));
        let unsigned = Encoding::Unsigned {
            scale: Decimal::ONE,
            offset: Decimal::ZERO,
        };
        assert_eq!(unsigned.value(-1), u64::MAX as f64);
        assert_eq!(unsigned.in_steps_of(-1, Decimal::ONE), None);
        let bits = 12.25f64.to_bits().cast_signed();
        assert_eq!(Encoding::Float.value(bits), 12.25);
        assert_eq!(
            Encoding::Float.in_steps_of(bits, "0.01".parse().unwrap()),
            Some(1225)
        );
        assert_eq!(
            Encoding::Float.in_steps_of(f64::NAN.to_bits().cast_signed(), Decimal::ONE),
            None
        );
    }
}
