//! Charging stations that speak OCPP 1.6J or 2.0.1: they connect to a central system, and do what real ones do when it is away. And
//! who sees the transactions at those that are read over Modbus.
//!
//! What happens at a station's socket ([`story`]) is written into the station's flash ([`flash`]) as messages of a transaction,
//! in order, and stays there until each was answered, over connections, days and power cuts. All other messages are of the
//! moment, and are lost with it. Energy and times of each transaction are the truth (`transactions.jsonl`,
//! [`crate::truth::sessions`]).
//!
//! | file | what it is |
//! |---|---|
//! | `story` | from what is seen at a socket to what there is to tell; pure |
//! | `flash` | what survives a power cut: the queue, numbers, settings; pure |
//! | `words` | the messages of both versions; pure |
//! | `profiles` | what a station may draw by the profiles it was given; pure |
//! | `orders` | what the central system asks for, and the answers; pure |
//! | `socket` | the socket of a station, its story, and drivers who do not stay |
//! | `line` | the connection |
//! | `witness` | who sees the transactions at a station that tells none |

mod flash;
mod line;
mod orders;
mod profiles;
mod socket;
mod story;
mod witness;
mod words;

pub use line::Plugs;
pub(crate) use line::{Identity, Line};
pub(crate) use witness::Witness;

use std::str::FromStr;

/// A version of OCPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Version {
    /// OCPP-J 1.6.
    #[serde(rename = "1.6")]
    V16,
    /// OCPP 2.0.1.
    #[serde(rename = "2.0.1")]
    V201,
}

impl Version {
    /// The WebSocket's subprotocol.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::V16 => "ocpp1.6",
            Self::V201 => "ocpp2.0.1",
        }
    }
}

/// How a station is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// It is read and written over Modbus TCP.
    Modbus,
    /// It connects to the central system.
    Ocpp {
        /// In this version.
        version: Version,
        /// Under this identity; its key if absent.
        id: Option<String>,
    },
}

impl FromStr for Speaks {
    type Err = String;

    /// `modbus`, `ocpp1.6` or `ocpp2.0.1`, the latter two with an identity if they like: `ocpp1.6:CP-01`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, id) = match text.split_once(':') {
            Some((name, id)) => (name, Some(id.to_owned())),
            None => (text, None),
        };
        let version = match name {
            "modbus" if id.is_none() => return Ok(Self::Modbus),
            "ocpp1.6" => Version::V16,
            "ocpp2.0.1" => Version::V201,
            _ => {
                return Err(format!(
                    "`{text}` is not modbus, ocpp1.6, ocpp2.0.1, or one of the latter with an identity (ocpp1.6:CP-01)"
                ));
            }
        };
        Ok(Self::Ocpp { version, id })
    }
}

/// The stations that speak OCPP, and whom they speak with.
#[derive(Clone, Debug, PartialEq)]
pub struct Central {
    /// Where they connect, without their identity: `ws://127.0.0.1:9210/ocpp`.
    pub url: String,
    /// How each station is spoken with, in turn.
    pub speaks: Vec<Speaks>,
    /// Drivers leave after about so many seconds of wall time; without it, when they have to.
    pub restless: Option<f64>,
}

impl Central {
    /// How a station is spoken with.
    pub fn of(&self, index: usize) -> &Speaks {
        let turn = self.speaks.len().max(1);
        self.speaks.get(index % turn).unwrap_or(&Speaks::Modbus)
    }
}

/// The token that the driver of a car shows: its key in capital letters.
pub fn token(car: &str) -> String {
    car.to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stations_are_spoken_with_in_turn() {
        let speaks = "modbus,ocpp1.6:CP-7,ocpp2.0.1".split(',');
        let central = Central {
            url: String::new(),
            speaks: speaks.map(|text| text.parse().unwrap()).collect(),
            restless: None,
        };
        assert_eq!(central.of(3), &Speaks::Modbus);
        let (version, id) = (Version::V16, Some("CP-7".to_owned()));
        assert_eq!(central.of(4), &Speaks::Ocpp { version, id });
        for wrong in ["", "ocpp", "ocpp2.1", "modbus:7"] {
            assert!(wrong.parse::<Speaks>().is_err(), "{wrong}");
        }
    }
}
