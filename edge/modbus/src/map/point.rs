//! One line of a device map: a signal, where it stands and how it is written there.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use shared_protocol::Decimal;

/// One signal and its registers.
///
/// How its registers become the stored integer (`raw`) follows from the line:
///
/// | the line has | stored integer | its encoding |
/// |---|---|---|
/// | an integer type | the register's integer, untouched | `Scaled{scale, offset}`; `Unsigned` for `u64` |
/// | an integer type and `scale_factor` | value in steps of the resolution, exact, half away from zero | `Scaled{resolution, 0}` |
/// | a float type | value in steps of the resolution, see below | `Scaled{resolution, 0}` |
/// | a float type, a name of its own, no `resolution` | the bits of the value as binary64 | `Float` |
/// | `states` | the number that the table gives | `Scaled{1, 0}` |
///
/// The resolution is the catalogue's, or the point's own for a signal that the catalogue does not know. A float
/// becomes steps by one multiplication and one division in binary64, `v × n ÷ d` with `n/d` = scale ÷ resolution
/// as a quotient of integers (plus offset ÷ resolution when there is an offset), rounded half away from zero.
/// NaN and infinities are *not available*.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Name of the signal: one of the catalogue (`shared-protocol/signals.toml`), or one of its own with a `unit`.
    pub signal: String,
    /// Where it stands, as the maker's document counts (see `first_address`).
    pub address: u32,
    /// How it is written there.
    #[serde(rename = "type")]
    pub register_type: RegisterType,
    /// Table, if not the default.
    #[serde(default)]
    pub function: Option<Table>,
    /// Order of its registers, if not the default.
    #[serde(default)]
    pub word_order: Option<Order>,
    /// Order of the bytes in its registers, if not the default.
    #[serde(default)]
    pub byte_order: Option<Order>,
    /// Value of one step in the unit of the signal; 1 if absent. kWh become Wh with 1000.
    #[serde(default)]
    pub scale: Option<Decimal>,
    /// Value of 0 in the unit of the signal; 0 if absent.
    #[serde(default)]
    pub offset: Option<Decimal>,
    /// Address of a SunSpec scale factor (`sunssf`, i16): the value is multiplied by ten to its power as well.
    #[serde(default)]
    pub scale_factor: Option<u32>,
    /// How the sign is written.
    #[serde(default)]
    pub sign: Sign,
    /// Only these bits of an unsigned integer.
    #[serde(default)]
    pub bits: Option<Bits>,
    /// What the device's numbers mean as the signal's: `{ "1" = 0, "4" = 2 }`. Other numbers are an error.
    #[serde(default)]
    pub states: Option<BTreeMap<String, i64>>,
    /// What stands there when there is no value, as bits; instead of the default for the type.
    #[serde(default)]
    pub invalid: Option<Vec<Pattern>>,
    /// Milliseconds between two readings, if not the default.
    #[serde(default)]
    pub interval_ms: Option<u32>,
    /// Unit of a signal that the catalogue does not know.
    #[serde(default)]
    pub unit: Option<String>,
    /// One step of the stored integer, for a signal that the catalogue does not know and that is not an integer.
    #[serde(default)]
    pub resolution: Option<Decimal>,
}

/// The four tables of Modbus (V1.1b3 §4.3), by the names that `function` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Read by function 1.
    Coil,
    /// Read by function 2.
    Discrete,
    /// Read by function 3.
    Holding,
    /// Read by function 4.
    Input,
}

impl Table {
    /// Whether it holds bits, not registers.
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }
}

/// Order of registers in a number, or of bytes in a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Most significant first.
    #[default]
    Big,
    /// Least significant first.
    Little,
}

/// How a value is written in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterType {
    /// One coil or discrete input.
    Bool,
    /// Unsigned, 1 register.
    U16,
    /// Two's complement, 1 register.
    I16,
    /// Unsigned, 2 registers.
    U32,
    /// Two's complement, 2 registers.
    I32,
    /// Unsigned, 4 registers.
    U64,
    /// Two's complement, 4 registers.
    I64,
    /// IEEE 754 binary16, 1 register.
    F16,
    /// IEEE 754 binary32, 2 registers.
    F32,
    /// IEEE 754 binary64, 4 registers.
    F64,
    /// Four decimal digits of four bits each, 1 register.
    Bcd16,
    /// Eight decimal digits of four bits each, 2 registers.
    Bcd32,
    /// Schneider's "mod 10000": every register holds four decimal digits (−9999 to 9999), 2 registers.
    Mod10k32,
    /// The same, 3 registers.
    Mod10k48,
    /// The same, 4 registers.
    Mod10k64,
    /// Text, two characters to a register; only for the identity.
    String,
}

impl RegisterType {
    /// How many registers it takes; `None` for text and coils.
    pub const fn registers(self) -> Option<u16> {
        match self {
            Self::Bool | Self::String => None,
            Self::U16 | Self::I16 | Self::F16 | Self::Bcd16 => Some(1),
            Self::U32 | Self::I32 | Self::F32 | Self::Bcd32 | Self::Mod10k32 => Some(2),
            Self::Mod10k48 => Some(3),
            Self::U64 | Self::I64 | Self::F64 | Self::Mod10k64 => Some(4),
        }
    }

    /// Whether it is a binary floating-point number.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    /// Whether it is an unsigned binary integer.
    pub const fn is_unsigned(self) -> bool {
        matches!(self, Self::U16 | Self::U32 | Self::U64)
    }

    /// Whether it is a signed binary integer.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::I16 | Self::I32 | Self::I64)
    }
}

/// How a sign is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// As the type says.
    #[default]
    Normal,
    /// The device counts the other way round: every value is multiplied by −1.
    Inverted,
    /// The highest bit of a signed integer is the sign, the others are the magnitude.
    Magnitude,
}

/// Some bits of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bits {
    /// Number of the lowest; 0 is the least significant.
    pub first: u8,
    /// How many.
    pub count: u8,
}

/// The bits of a value once its registers and bytes are in order: an integer, or a text such as `"0xFFFFFFFFFFFFFFFF"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(pub u64);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Pattern;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the bits of a register: an integer such as 0x8000, or a text such as \"0xFFFFFFFFFFFFFFFF\"")
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Pattern, E> {
                Ok(Pattern(v))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Pattern, E> {
                u64::try_from(v)
                    .map(Pattern)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(v), &self))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Pattern, E> {
                let digits = v.strip_prefix("0x").or_else(|| v.strip_prefix("0X"));
                digits
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .map(Pattern)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(v), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
