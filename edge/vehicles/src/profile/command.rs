//! A diagnostic request and what is in its answer.

use std::{collections::BTreeMap, fmt, time::Duration};

use isotp::{Address, CanId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use shared_protocol::Decimal;
use thiserror::Error;

use super::{Every, Hex, Years, every, hex, is_false, is_one, is_zero, one, zero};

/// A diagnostic request (ISO 14229-1 or SAE J1979 over ISO 15765-2) and the signals of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Name, unique within the profile.
    pub name: String,
    /// Name of the bus it is asked on. May be absent if the profile has only one bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Identifier of the request's frames: three hexadecimal digits (11 bit) or eight (29 bit). `7DF` and `18DB33F1`
    /// ask every emission-related ECU at once.
    #[serde(with = "hex::can_id")]
    pub request: CanId,
    /// Identifier of the answer's frames. Absent, it follows from the request as in ISO 15765-4: `7E8` for `7E0` and so
    /// on, `18DAF110` for `18DA10F1`; for `7DF` and `18DB33F1` the first ECU that answers is taken.
    #[serde(
        default,
        with = "hex::optional_can_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub response: Option<CanId>,
    /// First data byte of each of the request's frames, for extended or mixed addressing (ISO 15765-2 §10.3.4, §10.3.5).
    #[serde(
        default,
        with = "hex::optional_byte",
        skip_serializing_if = "Option::is_none"
    )]
    pub request_extension: Option<u8>,
    /// First data byte of each of the answer's frames, likewise.
    #[serde(
        default,
        with = "hex::optional_byte",
        skip_serializing_if = "Option::is_none"
    )]
    pub response_extension: Option<u8>,
    /// Service: `"01"` current data (J1979), `"21"` by local identifier, `"22"` by identifier, or another one whose answer
    /// begins with the service + 40 hex and the identifier.
    #[serde(with = "hex::byte")]
    pub service: u8,
    /// Identifier, 1 to 4 bytes: `"0D"`, `"F190"`.
    pub identifier: Hex,
    /// Diagnostic session that the ECU must be in (`"03"` extended). Absent, the default session serves, and nothing is
    /// changed in the vehicle.
    #[serde(
        default,
        with = "hex::optional_byte",
        skip_serializing_if = "Option::is_none"
    )]
    pub session: Option<u8>,
    /// Longest time from the request to the first frame of the answer, such as `"200ms"`; absent, the engine's own.
    #[serde(
        default,
        with = "every::interval",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// Bytes of the answer after the identifier, where every car's is the same. Service 22: several such identifiers are asked in
    /// one request, whose answer could not be taken apart without it; an ECU that does not take that is asked for each alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_length: Option<u16>,
    /// How often it is asked.
    #[serde(default)]
    pub every: Every,
    /// Model years it is for; absent, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub years: Option<Years>,
    /// The signals of its answer.
    pub signal: Vec<DiagnosticSignal>,
}

/// One signal of an answer: `value = raw × multiply ÷ divide + add`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagnosticSignal {
    /// Name, unique within the command.
    pub name: String,
    /// The signal of the catalogue that it is; without one it keeps its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Unit of its values. Without one it is the catalogue's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Its first, most significant bit, counted from the first bit after service and identifier: byte 4 begins at 32.
    #[serde(default)]
    pub bit: u32,
    /// Its length in bits, 1 to 64.
    pub length: u8,
    /// Order of its bytes.
    #[serde(default, skip_serializing_if = "Order::is_big")]
    pub order: Order,
    /// Whether it is two's complement.
    #[serde(default, skip_serializing_if = "is_false")]
    pub signed: bool,
    /// Factor; 1 if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub multiply: Decimal,
    /// Divisor; 1 if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub divide: Decimal,
    /// Added after that; 0 if absent.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    pub add: Decimal,
    /// Least value that can be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Decimal>,
    /// Greatest value that can be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Decimal>,
    /// What becomes of a value outside `min` and `max`.
    #[serde(default, skip_serializing_if = "Outside::is_drop")]
    pub outside: Outside,
    /// Values up to and including this one mean that there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none_up_to: Option<Decimal>,
    /// Values from this one on mean that there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none_from: Option<Decimal>,
    /// Raw integers that mean that there is no value, such as `[0xFF]`. For a signed signal negative numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_available: Vec<i64>,
    /// Texts of raw values: `{ 0 = "off", 1 = "on" }`. If there are any, a raw value without a text is no value.
    #[serde(default, with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<i64, String>,
}

/// Order of a signal's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Most significant byte first.
    #[default]
    Big,
    /// Least significant byte first. The signal must begin and end at a byte.
    Little,
}

/// What becomes of a value outside its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// It cannot be true: there is no value.
    #[default]
    Drop,
    /// The nearer bound is the value. Only for definitions made elsewhere that say so: a bound that was not measured is
    /// not a measurement.
    Clamp,
}

/// Why a command cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Which identifier answers does not follow from the request.
    #[error("which identifier answers to {0} does not follow from ISO 15765-4: give `response`")]
    NoResponse(CanId),
}

impl Command {
    /// The request: service and identifier.
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = vec![self.service];
        payload.extend(&self.identifier.0);
        payload
    }

    /// Whether the request goes to every emission-related ECU at once (ISO 15765-4).
    pub fn is_functional(&self) -> bool {
        functional(self.request)
    }

    /// Whether an answer may come with this identifier.
    pub fn answered_by(&self, id: CanId) -> bool {
        match self.response.or_else(|| response_to(self.request)) {
            Some(response) => response == id,
            None if functional(self.request) && self.request.is_extended() => {
                id.is_extended() && id.raw() & 0x1FFF_FF00 == 0x18DA_F100
            }
            None if functional(self.request) => {
                !id.is_extended() && (0x7E8..=0x7EF).contains(&id.raw())
            }
            None => false,
        }
    }

    /// The connection to ask a single ECU on.
    pub fn address(&self) -> Result<Address, RequestError> {
        let response = self.response.or_else(|| response_to(self.request));
        let response = response.ok_or(RequestError::NoResponse(self.request))?;
        Ok(match (self.request_extension, self.response_extension) {
            (None, None) => Address::normal(self.request, response),
            (Some(request), Some(answer)) => {
                Address::extended(self.request, response, answer, request)
            }
            (Some(both), None) | (None, Some(both)) => {
                Address::mixed_11(self.request, response, both)
            }
        })
    }

    /// The identifier that answers to a request where ISO 15765-4 fixes it.
    pub fn response_to(request: CanId) -> Option<CanId> {
        response_to(request)
    }

    /// Whether it is for vehicles of this model year; an unknown year rules nothing out.
    pub fn is_for(&self, year: Option<u16>) -> bool {
        match (&self.years, year) {
            (Some(years), Some(year)) => years.contains(year),
            _ => true,
        }
    }
}

fn functional(request: CanId) -> bool {
    request.raw()
        == if request.is_extended() {
            0x18DB_33F1
        } else {
            0x7DF
        }
}

/// The answer's identifier where ISO 15765-4 fixes it.
fn response_to(request: CanId) -> Option<CanId> {
    let raw = request.raw();
    if request.is_extended() {
        let physical = raw & 0x1FFF_0000 == 0x18DA_0000;
        let swapped = (raw & 0xFF) << 8 | (raw >> 8 & 0xFF);
        physical
            .then(|| CanId::extended(raw & 0x1FFF_0000 | swapped).ok())
            .flatten()
    } else {
        (0x7E0..=0x7E7)
            .contains(&raw)
            .then(|| CanId::standard(raw + 8).ok())
            .flatten()
    }
}

impl Order {
    // serde asks with references.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    fn is_big(&self) -> bool {
        *self == Self::Big
    }
}

impl Outside {
    #[expect(clippy::trivially_copy_pass_by_ref)]
    fn is_drop(&self) -> bool {
        *self == Self::Drop
    }
}

/// Keys of a table are texts; these are integers.
mod texts {
    use super::{BTreeMap, Deserializer, Serializer, de, fmt};
    use serde::ser::SerializeMap;

    pub(super) fn serialize<S: Serializer>(
        texts: &BTreeMap<i64, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(texts.len()))?;
        for (raw, text) in texts {
            map.serialize_entry(&raw.to_string(), text)?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<i64, String>, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = BTreeMap<i64, String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table from raw integers to texts")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    let raw = key
                        .parse()
                        .map_err(|_| de::Error::custom(format!("`{key}` is not a raw integer")))?;
                    texts.insert(raw, text);
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_from_requests() {
        let answer = |request: &str| response_to(request.parse().unwrap()).map(|id| id.to_string());
        assert_eq!(answer("7E0").as_deref(), Some("7E8"));
        assert_eq!(answer("7E7").as_deref(), Some("7EF"));
        assert_eq!(answer("18DA10F1").as_deref(), Some("18DAF110"));
        assert_eq!(answer("18DB33F1"), None);
        assert_eq!(answer("743"), None);
    }
}
