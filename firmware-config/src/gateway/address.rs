//! Where things are reached: the broker and the CAN buses, each as one text of the configuration.

use std::{fmt, net::Ipv4Addr, path::PathBuf, str::FromStr};

use config_file::{HostPort, Kind, Syntax, options};
use serde::Deserialize;

/// The MQTT broker: `mqtt://host[:1883]`, or `mqtts://host[:8883]` over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Broker {
    /// Where it listens.
    pub address: HostPort,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl Broker {
    /// A text of this form, for the keys of a file.
    pub const KIND: Kind = Kind::Syntax(Syntax {
        form: "a broker such as \"mqtts://mqtt.example.com:8883\" or \"mqtt://10.20.0.2:1883\"",
        check: |text| text.parse::<Self>().map(drop),
    });
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, tls, port) = if let Some(address) = text.strip_prefix("mqtts://") {
            (address, true, 8883)
        } else if let Some(address) = text.strip_prefix("mqtt://") {
            (address, false, 1883)
        } else {
            return Err("it must begin with mqtt:// or mqtts://".to_owned());
        };
        Ok(Self {
            address: HostPort::parse(address, Some(port))?,
            tls,
        })
    }
}

impl TryFrom<String> for Broker {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            if self.tls { "mqtts" } else { "mqtt" },
            self.address
        )
    }
}

/// Where CAN frames come from.
///
/// | text | meaning |
/// |---|---|
/// | `socketcan:can0` | a network interface of the kernel |
/// | `socketcand://host[:29536]/can0` | a bus that socketcand serves |
/// | `slcan:/dev/ttyACM0?bitrate=500000[&baud=115200]` | a serial adapter with the LAWICEL commands; `bitrate` is the vehicle's |
/// | `slcan://host:port?bitrate=500000` | the same over TCP |
/// | `elm327:/dev/ttyUSB0[?bitrate=500000][&baud=38400]` | an adapter with the AT commands of the ELM327, or an STN |
/// | `elm327://host[:35000][?bitrate=500000]` | the same over TCP |
/// | `elm327://10.20.0.0/24[?port=35000][&bitrate=500000]` | the same, wherever in this network the dongle is behind which the vehicle's VIN is found |
/// | `replay:PATH[?bus=N][&speed=X]` | a recording; only its bus N, X times as fast as it was recorded (1 if absent) |
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Interface {
    /// A network interface of the kernel.
    SocketCan {
        /// Its name.
        name: String,
    },
    /// A bus that socketcand serves.
    Socketcand {
        /// Where socketcand listens.
        address: HostPort,
        /// Name of the bus there.
        bus: String,
    },
    /// An adapter with the LAWICEL commands.
    Slcan {
        /// Where it is.
        port: Port,
        /// The vehicle's bits per second.
        bitrate: u32,
    },
    /// An adapter with the AT commands of the ELM327.
    Elm327 {
        /// Where it is.
        port: Port,
        /// The vehicle's bits per second.
        bitrate: u32,
    },
    /// Such an adapter somewhere in a network, found by the vehicle's VIN.
    Dongle {
        /// Where to look for it.
        network: Network,
        /// TCP port on which dongles listen.
        port: u16,
        /// The vehicle's bits per second.
        bitrate: u32,
    },
    /// A recording.
    Replay {
        /// The file; a path in a configuration starts at its folder.
        path: PathBuf,
        /// Only the frames of this bus, if not all.
        bus: Option<u8>,
        /// How many times as fast as it was recorded.
        speed: f64,
    },
}

/// Where an adapter is that is spoken to by lines of text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// A serial port.
    Serial {
        /// Device file.
        path: String,
        /// Bits per second.
        baud: u32,
    },
    /// A TCP connection.
    Tcp(HostPort),
}

impl Port {
    /// What stands behind the name of the protocol, and the vehicle's bitrate.
    fn parse(
        rest: &str,
        tcp_port: Option<u16>,
        baud: u32,
        rates: &[u32],
    ) -> Result<(Self, u32), String> {
        let (place, [bitrate, own]) = options(rest, ["bitrate", "baud"])?;
        let bitrate = match bitrate {
            None => 500_000,
            Some(text) => text
                .parse()
                .ok()
                .filter(|rate| rates.contains(rate))
                .ok_or_else(|| format!("bitrate must be one of {rates:?}"))?,
        };
        if let Some(address) = place.strip_prefix("//") {
            if own.is_some() {
                return Err("a TCP connection has no baud".to_owned());
            }
            return Ok((Self::Tcp(HostPort::parse(address, tcp_port)?), bitrate));
        }
        if !place.starts_with('/') || place.contains('\0') {
            return Err("the device file is missing, as in slcan:/dev/ttyACM0".to_owned());
        }
        let baud = match own {
            None => baud,
            Some(text) => text
                .parse()
                .ok()
                .filter(|baud| (1_200..=4_000_000).contains(baud))
                .ok_or("baud must be a number from 1200 to 4000000")?,
        };
        let path = place.to_owned();
        Ok((Self::Serial { path, baud }, bitrate))
    }

    fn fmt(&self, protocol: &str, bitrate: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { path, baud } => {
                write!(f, "{protocol}:{path}?bitrate={bitrate}&baud={baud}")
            }
            Self::Tcp(address) => write!(f, "{protocol}://{address}?bitrate={bitrate}"),
        }
    }
}

/// Addresses of a network: `10.20.0.0/24`, at least /22.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: Ipv4Addr,
    prefix: u8,
}

impl Network {
    /// The addresses that hosts may have.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = self.first.to_bits();
        let count = 1u32 << (32 - self.prefix);
        // The first and the last address are the network's and everybody's.
        let ends = u32::from(self.prefix < 31);
        (ends..count - ends).map(move |host| Ipv4Addr::from_bits(first + host))
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("a network is written as 10.20.0.0/24, from /{WIDEST} to /32");
        let (first, prefix) = text.split_once('/').ok_or_else(form)?;
        let first: Ipv4Addr = first.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if !(WIDEST..=32).contains(&prefix) {
            return Err(form());
        }
        let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        if first.to_bits() & hosts != 0 {
            let begins = Ipv4Addr::from_bits(first.to_bits() & !hosts);
            return Err(format!("the network begins at {begins}/{prefix}"));
        }
        Ok(Self { first, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Widest network that is looked through: 1022 addresses.
const WIDEST: u8 = 22;
/// TCP port of adapters with Wi-Fi that speak the ELM327's commands, unless told otherwise.
const ELM327_PORT: u16 = 35000;
/// Bitrates of the LAWICEL command `S`.
const SLCAN_RATES: [u32; 9] = [
    10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000,
];
/// Bitrates of the ELM327's protocols for ISO 15765-4.
const ELM327_RATES: [u32; 2] = [250_000, 500_000];
/// TCP port on which socketcand listens unless told otherwise (socketcand, README).
const SOCKETCAND_PORT: u16 = 29536;
/// Longest name of a network interface (Linux `IFNAMSIZ` less the terminator).
const LONGEST_INTERFACE: usize = 15;
/// Greatest speed of a replay.
const FASTEST: f64 = 1e6;

impl Interface {
    /// A text of this form, for the keys of a file.
    pub const KIND: Kind = Kind::Syntax(Syntax {
        form: "a CAN bus such as \"socketcan:can0\", \"socketcand://host/can0\", \"elm327://host\", \"slcan:/dev/ttyACM0\" or \"replay:drive.log?bus=0&speed=10\"",
        check: |text| text.parse::<Self>().map(drop),
    });

    /// Whether two readers of it would take the same bus; a recording may be read by many, and in a network are many dongles.
    pub const fn is_exclusive(&self) -> bool {
        !matches!(self, Self::Replay { .. } | Self::Dongle { .. })
    }
}

fn interface_name(name: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
    if name.is_empty() {
        return Err("the name of the bus is missing".to_owned());
    }
    if name.len() > LONGEST_INTERFACE || name == "." || name == ".." || !name.bytes().all(allowed) {
        return Err(format!(
            "the name of a network interface has at most {LONGEST_INTERFACE} characters, without space, slash and colon"
        ));
    }
    Ok(name.to_owned())
}

impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("socketcan:") {
            Ok(Self::SocketCan {
                name: interface_name(name)?,
            })
        } else if let Some(rest) = text.strip_prefix("socketcand://") {
            let (address, bus) = rest
                .split_once('/')
                .ok_or("the name of the bus is missing, as in socketcand://host/can0")?;
            Ok(Self::Socketcand {
                address: HostPort::parse(address, Some(SOCKETCAND_PORT))?,
                bus: interface_name(bus)?,
            })
        } else if let Some(rest) = text.strip_prefix("slcan:") {
            let (port, bitrate) = Port::parse(rest, None, 115_200, &SLCAN_RATES)?;
            Ok(Self::Slcan { port, bitrate })
        } else if let Some(rest) = text
            .strip_prefix("elm327://")
            .filter(|rest| rest.contains('/'))
        {
            let (network, [port, bitrate]) = options(rest, ["port", "bitrate"])?;
            let port = port.map(|port| port.parse().ok().filter(|port| *port > 0));
            let bitrate =
                bitrate.map(|rate| rate.parse().ok().filter(|rate| ELM327_RATES.contains(rate)));
            Ok(Self::Dongle {
                network: network.parse()?,
                port: port
                    .unwrap_or(Some(ELM327_PORT))
                    .ok_or("the port must be a number from 1 to 65535")?,
                bitrate: bitrate
                    .unwrap_or(Some(500_000))
                    .ok_or_else(|| format!("bitrate must be one of {ELM327_RATES:?}"))?,
            })
        } else if let Some(rest) = text.strip_prefix("elm327:") {
            let (port, bitrate) = Port::parse(rest, Some(ELM327_PORT), 38_400, &ELM327_RATES)?;
            Ok(Self::Elm327 { port, bitrate })
        } else if let Some(rest) = text.strip_prefix("replay:") {
            let (path, [bus, speed]) = options(rest, ["bus", "speed"])?;
            if path.is_empty() || path.contains('\0') {
                return Err("the path of the recording is missing".to_owned());
            }
            let bus = bus
                .map(|bus| {
                    bus.parse()
                        .map_err(|_| "bus must be a number from 0 to 255")
                })
                .transpose()?;
            let speed = match speed {
                None => 1.0,
                Some(speed) => speed
                    .parse()
                    .ok()
                    .filter(|speed| *speed > 0.0 && *speed <= FASTEST)
                    .ok_or("speed must be a number above 0, at most 1000000")?,
            };
            Ok(Self::Replay {
                path: PathBuf::from(path),
                bus,
                speed,
            })
        } else {
            Err(
                "it must begin with socketcan:, socketcand://, slcan:, elm327: or replay:"
                    .to_owned(),
            )
        }
    }
}

impl TryFrom<String> for Interface {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SocketCan { name } => write!(f, "socketcan:{name}"),
            Self::Socketcand { address, bus } => write!(f, "socketcand://{address}/{bus}"),
            Self::Slcan { port, bitrate } => port.fmt("slcan", *bitrate, f),
            Self::Elm327 { port, bitrate } => port.fmt("elm327", *bitrate, f),
            Self::Dongle {
                network,
                port,
                bitrate,
            } => write!(f, "elm327://{network}?port={port}&bitrate={bitrate}"),
            Self::Replay { path, bus, speed } => {
                write!(f, "replay:{}?", path.display())?;
                if let Some(bus) = bus {
                    write!(f, "bus={bus}&")?;
                }
                write!(f, "speed={speed}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers() {
        for (text, full) in [
            ("mqtt://10.20.0.2", "mqtt://10.20.0.2:1883"),
            ("mqtts://mqtt.example.com", "mqtts://mqtt.example.com:8883"),
            ("mqtts://[fe80::1]:1", "mqtts://[fe80::1]:1"),
        ] {
            let broker: Broker = text.parse().expect(text);
            assert_eq!(broker.to_string(), full);
            assert_eq!(full.parse(), Ok(broker));
        }
        for (text, says) in [
            ("mqtt.example.com:1883", "it must begin with"),
            ("https://mqtt.example.com", "it must begin with"),
            ("mqtt://", "the host is missing"),
            ("mqtt://host/topic", "the host may have"),
            ("mqtt://user:secret@host:1883", "the port must be"),
        ] {
            let error = text.parse::<Broker>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn interfaces() {
        for (text, full) in [
            ("socketcan:can0", "socketcan:can0"),
            (
                "socketcand://10.0.0.9/vcan1",
                "socketcand://10.0.0.9:29536/vcan1",
            ),
            (
                "slcan:/dev/ttyACM0",
                "slcan:/dev/ttyACM0?bitrate=500000&baud=115200",
            ),
            (
                "slcan://10.0.0.9:3333?bitrate=250000",
                "slcan://10.0.0.9:3333?bitrate=250000",
            ),
            (
                "elm327:/dev/ttyUSB0?baud=9600",
                "elm327:/dev/ttyUSB0?bitrate=500000&baud=9600",
            ),
            (
                "elm327://10.0.0.9",
                "elm327://10.0.0.9:35000?bitrate=500000",
            ),
            (
                "elm327://10.20.0.0/24",
                "elm327://10.20.0.0/24?port=35000&bitrate=500000",
            ),
            ("replay:drive.csv", "replay:drive.csv?speed=1"),
            (
                "replay:/var/log/drive.csv?speed=2.5&bus=1",
                "replay:/var/log/drive.csv?bus=1&speed=2.5",
            ),
        ] {
            let interface: Interface = text.parse().expect(text);
            assert_eq!(interface.to_string(), full);
            assert_eq!(full.parse(), Ok(interface));
        }
        for (text, says) in [
            ("can0", "it must begin with"),
            ("socketcan:", "the name of the bus is missing"),
            (
                "socketcan:a-name-that-is-far-too-long",
                "at most 15 characters",
            ),
            ("socketcan:can 0", "without space"),
            ("socketcand://host", "the name of the bus is missing"),
            ("socketcand:///can0", "the host is missing"),
            ("socketcand://host:0/can0", "the port must be"),
            ("slcan://10.0.0.9", "the port"),
            ("slcan:ttyACM0", "the device file is missing"),
            ("elm327://host?baud=9600", "a TCP connection has no baud"),
            ("elm327://host?bitrate=125000", "bitrate must be one of"),
            (
                "elm327://10.20.0.7/24",
                "the network begins at 10.20.0.0/24",
            ),
            ("elm327://10.0.0.0/8", "from /22 to /32"),
            ("elm327://host/24", "a network is written as"),
            ("elm327://10.20.0.0/24?port=0", "the port must be"),
            ("elm327://10.20.0.0/24?bitrate=1", "bitrate must be one of"),
            ("replay:", "the path of the recording is missing"),
            ("replay:?bus=1", "the path of the recording is missing"),
            ("replay:a.log?bus=256", "bus must be"),
            ("replay:a.log?speed=0", "speed must be"),
            ("replay:a.log?speed=nan", "speed must be"),
            (
                "replay:a.log?rate=1",
                "`rate` is not an option; the options are bus, speed",
            ),
        ] {
            let error = text.parse::<Interface>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn hosts_of_networks() {
        for (text, first, count) in [
            ("10.20.0.0/24", "10.20.0.1", 254),
            ("10.20.4.0/22", "10.20.4.1", 1022),
            ("10.20.0.8/31", "10.20.0.8", 2),
            ("10.20.0.9/32", "10.20.0.9", 1),
        ] {
            let network: Network = text.parse().expect(text);
            let mut hosts = network.hosts();
            assert_eq!(
                hosts.next().map(|host| host.to_string()).as_deref(),
                Some(first)
            );
            assert_eq!(hosts.count() + 1, count, "{text}");
        }
    }
}
