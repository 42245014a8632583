//! Where a Modbus line is: a TCP connection or a serial port, as one text of a configuration file.

use std::{fmt, str::FromStr};

use config_file::{HostPort, Kind, Syntax, options};
use serde::{Deserialize, Serialize, Serializer};

/// TCP port of Modbus (MODBUS Messaging on TCP/IP Implementation Guide V1.0b §4.2.1).
const MODBUS_PORT: u16 = 502;

/// Where a Modbus line is.
///
/// | text | meaning |
/// |---|---|
/// | `tcp://host[:port]` | Modbus TCP; port 502 if absent |
/// | `rtu-tcp://host:port` | RTU frames over a TCP connection, as serial servers carry them |
/// | `serial:/dev/ttyUSB0?baud=9600&parity=none&stop_bits=1` | RTU on a serial port; these are the defaults |
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum ModbusAddress {
    /// Modbus TCP.
    Tcp(HostPort),
    /// RTU frames over a TCP connection.
    RtuTcp(HostPort),
    /// RTU frames on a serial port.
    Serial {
        /// Device file.
        port: String,
        /// Bits per second.
        baud: u32,
        /// Parity.
        parity: Parity,
        /// Stop bits, 1 or 2.
        stop_bits: u8,
    },
}

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Even, the default of MODBUS over Serial Line V1.02 §2.5.1.
    Even,
    /// Odd.
    Odd,
}

impl ModbusAddress {
    /// A text of this form, for the keys of a file.
    pub const KIND: Kind = Kind::Syntax(Syntax {
        form: "a Modbus address such as \"tcp://host:502\", \"rtu-tcp://host:4001\" or \"serial:/dev/ttyUSB0?baud=9600&parity=none\"",
        check: |text| text.parse::<Self>().map(drop),
    });

    /// Whether the line carries RTU frames, where unit 0 is a broadcast that nobody answers and 247 the last
    /// unit (MODBUS over Serial Line V1.02 §2.2).
    pub const fn is_rtu(&self) -> bool {
        !matches!(self, Self::Tcp(_))
    }

    fn serial(text: &str) -> Result<Self, String> {
        let (port, [baud, parity, stop_bits]) = options(text, ["baud", "parity", "stop_bits"])?;
        if !port.starts_with('/') {
            return Err("the serial port must be a device file such as /dev/ttyUSB0".to_owned());
        }
        let baud = match baud {
            None => 9600,
            Some(baud) => baud
                .parse()
                .ok()
                .filter(|baud| (300..=4_000_000).contains(baud))
                .ok_or("baud must be a number from 300 to 4000000")?,
        };
        let parity = match parity {
            None | Some("none") => Parity::None,
            Some("even") => Parity::Even,
            Some("odd") => Parity::Odd,
            Some(_) => return Err("parity must be none, even or odd".to_owned()),
        };
        let stop_bits = match stop_bits {
            None | Some("1") => 1,
            Some("2") => 2,
            Some(_) => return Err("stop_bits must be 1 or 2".to_owned()),
        };
        Ok(Self::Serial {
            port: port.to_owned(),
            baud,
            parity,
            stop_bits,
        })
    }
}

impl FromStr for ModbusAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = text.strip_prefix("tcp://") {
            HostPort::parse(address, Some(MODBUS_PORT)).map(Self::Tcp)
        } else if let Some(address) = text.strip_prefix("rtu-tcp://") {
            HostPort::parse(address, None).map(Self::RtuTcp)
        } else if let Some(port) = text.strip_prefix("serial:") {
            Self::serial(port)
        } else {
            Err("it must begin with tcp://, rtu-tcp:// or serial:".to_owned())
        }
    }
}

impl TryFrom<String> for ModbusAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for ModbusAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ModbusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::RtuTcp(address) => write!(f, "rtu-tcp://{address}"),
            Self::Serial {
                port,
                baud,
                parity,
                stop_bits,
            } => {
                let parity = match parity {
                    Parity::None => "none",
                    Parity::Even => "even",
                    Parity::Odd => "odd",
                };
                write!(
                    f,
                    "serial:{port}?baud={baud}&parity={parity}&stop_bits={stop_bits}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, full) in [
            ("tcp://10.0.0.7", "tcp://10.0.0.7:502"),
            ("tcp://[fe80::1]:1502", "tcp://[fe80::1]:1502"),
            (
                "rtu-tcp://serial-server:4001",
                "rtu-tcp://serial-server:4001",
            ),
            (
                "serial:/dev/ttyS1",
                "serial:/dev/ttyS1?baud=9600&parity=none&stop_bits=1",
            ),
            (
                "serial:/dev/serial/by-id/usb-1?parity=even&baud=19200",
                "serial:/dev/serial/by-id/usb-1?baud=19200&parity=even&stop_bits=1",
            ),
        ] {
            let address: ModbusAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), full);
            assert_eq!(full.parse(), Ok(address));
        }
    }

    #[test]
    fn wrong_texts() {
        for (text, says) in [
            ("10.0.0.7:502", "it must begin with"),
            ("tcp://", "the host is missing"),
            ("tcp://meter:0", "the port must be"),
            ("rtu-tcp://meter", "the port is missing"),
            ("serial:ttyUSB0", "must be a device file"),
            ("serial:/dev/ttyUSB0?baud=9k6", "baud must be"),
            ("serial:/dev/ttyUSB0?parity=N", "parity must be"),
            ("serial:/dev/ttyUSB0?stop_bits=3", "stop_bits must be"),
            ("serial:/dev/ttyUSB0?speed=9600", "`speed` is not an option"),
        ] {
            let error = text.parse::<ModbusAddress>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
