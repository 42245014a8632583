//! The keys of a gateway's configuration.

use std::{net::SocketAddr, time::Duration};

use config_file::{Key, Kind, Presence, Schema, Syntax};
use depot_config::{ModbusAddress, devices};
use isotp::uds::Vin;
use shared_protocol::{AssetKey, GatewayId, VerifyingKey};

use super::{Broker, Interface};
use crate::profiles;

/// The keys of a gateway's configuration.
pub static SCHEMA: Schema = Schema {
    name: "gateway configuration",
    about: "What a gateway is told: who it is, where its cloud is, and what it reads. Relative paths start at \
            the folder of this file.",
    keys: &[
        Key::table(
            "gateway",
            &GATEWAY,
            "Who it is and where it keeps what it has not delivered.",
        ),
        Key::table("cloud", &CLOUD, "Where its cloud is and how it knows it."),
        Key::tables("can", &CAN, "One CAN bus of one vehicle."),
        Key::tables("modbus", &MODBUS, "One Modbus line and the devices on it."),
        Key::table(
            "stations",
            &STATIONS,
            "The central system of charging stations that speak OCPP; without it there is none.",
        )
        .presence(Presence::Optional),
        Key::table(
            "control",
            &CONTROL,
            "The depot whose electrical limits the gateway holds; without it no station is told anything.",
        )
        .presence(Presence::Optional),
        Key::table(
            "page",
            &PAGE,
            "The page for whoever looks after the depot, served by the gateway itself; without it there is none.",
        )
        .presence(Presence::Optional),
        Key::table("log", &LOG, "What it writes to its log.").presence(Presence::Default("{}")),
    ],
};

const GATEWAY_ID: Kind = Kind::Syntax(Syntax {
    form: "a gateway id (1 to 32 of a-z 0-9 -)",
    check: |text| {
        text.parse::<GatewayId>()
            .map(drop)
            .map_err(|_| String::new())
    },
});

const ASSET: Kind = Kind::Syntax(Syntax {
    form: "an asset key (1 to 64 of a-z 0-9 . - _)",
    check: |text| {
        text.parse::<AssetKey>()
            .map(drop)
            .map_err(|_| String::new())
    },
});

const NAME: Kind = Kind::Syntax(Syntax {
    form: "a name (1 to 64 of a-z 0-9 . - _)",
    check: |text| {
        text.parse::<AssetKey>()
            .map(drop)
            .map_err(|_| String::new())
    },
});

const VIN: Kind = Kind::Syntax(Syntax {
    form: "a VIN of 17 digits and capital letters without I, O and Q",
    check: |text| {
        text.parse::<Vin>()
            .map(drop)
            .map_err(|error| error.to_string())
    },
});

const PUBLIC_KEY: Kind = Kind::Syntax(Syntax {
    form: "an Ed25519 public key as 64 hexadecimal digits",
    check: |text| public_key(text).map(drop),
});

/// Reads an Ed25519 public key from its hexadecimal digits; the error says what is wrong with the text.
pub(super) fn public_key(text: &str) -> Result<VerifyingKey, String> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return Err(format!("it has {} characters", text.chars().count()));
    }
    hex::decode_to_slice(text, &mut bytes).map_err(|error| error.to_string())?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| "these digits are no public key".to_owned())
}

static GATEWAY: Schema = Schema {
    name: "gateway",
    about: "Who it is and where it keeps what it has not delivered.",
    keys: &[
        Key::required(
            "id",
            GATEWAY_ID,
            "\"gw-centro\"",
            "Its id, a level of its MQTT topics.",
        ),
        Key::required(
            "key",
            Kind::Path,
            "\"gateway.key\"",
            "File with its Ed25519 secret key, which signs every block.",
        ),
        Key::required(
            "data",
            Kind::Path,
            "\"/var/lib/patio\"",
            "Folder of its buffer; it is created if absent.",
        ),
        Key::with_default(
            "quota",
            Kind::Bytes {
                min: 16 << 20,
                max: 1 << 40,
            },
            "\"1GiB\"",
            "\"2GiB\"",
            "Most room that the buffer may take.",
        ),
    ],
};

static CLOUD: Schema = Schema {
    name: "cloud",
    about: "Where its cloud is and how it knows it.",
    keys: &[
        Key::required(
            "broker",
            Broker::KIND,
            "\"mqtts://mqtt.example.com:8883\"",
            "The MQTT broker.",
        ),
        Key::required(
            "public_key",
            PUBLIC_KEY,
            "\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"",
            "The key that verifies acknowledgements and commands.",
        ),
        Key::optional(
            "ca",
            Kind::Path,
            "\"ca.pem\"",
            "Certificates (PEM) that the broker's is verified with; required with mqtts.",
        ),
        Key::optional(
            "certificate",
            Kind::Path,
            "\"gateway.pem\"",
            "Certificate (PEM) by which the broker knows the gateway.",
        ),
        Key::optional(
            "certificate_key",
            Kind::Path,
            "\"gateway-tls.key\"",
            "Secret key (PEM) of the certificate; both or none.",
        ),
    ],
};

static CAN: Schema = Schema {
    name: "CAN bus",
    about: "One CAN bus of one vehicle. A vehicle with two buses is two of these with the same asset.",
    keys: &[
        Key::required("asset", ASSET, "\"kona-01\"", "The vehicle."),
        Key::required(
            "interface",
            Interface::KIND,
            "\"socketcan:can0\"",
            "Where its frames come from.",
        ),
        Key::optional(
            "profile",
            profiles::NAME,
            "\"profile.toml\"",
            "Name of a vehicle profile that ships, or path of a file that ends in .toml.",
        ),
        Key::optional(
            "bus",
            Kind::Text,
            "\"diagnostic\"",
            "The bus of the profile that this is; may be absent if the profile has only one.",
        ),
        Key::optional(
            "dbc",
            Kind::Path,
            "\"kona.dbc\"",
            "DBC file by which broadcast frames are decoded, besides those of the profile; a profile, a DBC file, or both.",
        ),
        Key::with_default(
            "diagnostics",
            Kind::Bool,
            "false",
            "true",
            "Whether the vehicle is asked by diagnostic requests, as its profile says. Without it nothing is ever \
             sent on the bus.",
        ),
        Key::optional(
            "vin",
            VIN,
            "\"1M8GDM9AXKP042788\"",
            "Its VIN. The vehicle is asked for it before anything else, and another one is not taken for it. Without a \
             profile, the one that ships for this VIN is taken.",
        ),
    ],
};

static MODBUS: Schema = Schema {
    name: "Modbus line",
    about: "One Modbus line: a TCP connection or a serial port.",
    keys: &[
        Key::required(
            "name",
            NAME,
            "\"chargers-north\"",
            "Its name in logs and metrics.",
        ),
        Key::required(
            "address",
            ModbusAddress::KIND,
            "\"tcp://10.20.0.11:502\"",
            "Where it is.",
        ),
        Key::with_default(
            "timeout",
            Kind::Duration {
                min: Duration::from_millis(10),
                max: Duration::from_mins(1),
            },
            "\"1s\"",
            "\"500ms\"",
            "How long an answer may take.",
        ),
        Key::with_default(
            "pause",
            Kind::Duration {
                min: Duration::ZERO,
                max: Duration::from_secs(10),
            },
            "\"0ms\"",
            "\"20ms\"",
            "Silence between an answer and the next request; a device map may ask for more.",
        ),
        Key::tables("device", &DEVICE, "One device on the line."),
    ],
};

static DEVICE: Schema = Schema {
    name: "device",
    about: "One device on the line.",
    keys: &[
        Key::required("asset", ASSET, "\"station-01\"", "The charger or meter."),
        Key::with_default(
            "unit",
            Kind::Integer { min: 0, max: 255 },
            "1",
            "1",
            "Its number on the line; on RTU lines 1 to 247.",
        ),
        Key::required(
            "map",
            devices::NAME,
            "\"map.toml\"",
            "Name of a device map that ships, or path of a file that ends in .toml.",
        ),
        Key::optional(
            "interval",
            Kind::Duration {
                min: Duration::from_millis(50),
                max: Duration::from_hours(24),
            },
            "\"5s\"",
            "Time between two readings of points for which the map has no interval of their own; the map's default \
             (1s) if absent.",
        ),
    ],
};

const ADDRESS: Kind = Kind::Syntax(Syntax {
    form: "an IP address and a port",
    check: |text| {
        text.parse::<SocketAddr>()
            .map(drop)
            .map_err(|error| error.to_string())
    },
});

const STATION_ID: Kind = Kind::Syntax(Syntax {
    form: "a station id (1 to 48 of a-z A-Z 0-9 . - _ ~)",
    check: |text| {
        let right = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~".contains(&byte);
        let fits = (1..=48).contains(&text.len()) && text.bytes().all(right);
        fits.then_some(()).ok_or_else(String::new)
    },
});

const RELAY: Kind = Kind::Syntax(Syntax {
    form: "an address that begins with ws:// or wss://",
    check: |text| {
        let host = ["ws://", "wss://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let host = host.unwrap_or_default();
        let fits =
            !host.is_empty() && !host.starts_with('/') && !host.contains(['?', '#', ' ', '@']);
        fits.then_some(()).ok_or_else(String::new)
    },
});

const DIGEST: Kind = Kind::Syntax(Syntax {
    form: "a SHA-256 as 64 hexadecimal digits",
    check: |text| digest(text).map(drop),
});

const INSTANT: Kind = Kind::Syntax(Syntax {
    form: "an instant such as 2027-01-31T00:00:00-06:00",
    check: |text| {
        text.parse::<jiff::Timestamp>()
            .map(drop)
            .map_err(|error| error.to_string())
    },
});

/// Reads a SHA-256 from its hexadecimal digits.
pub(super) fn digest(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

static STATIONS: Schema = Schema {
    name: "central system",
    about: "The central system of charging stations: they connect to ws://gateway:port/ocpp/<id>, or wss with a certificate.",
    keys: &[
        Key::required(
            "listen",
            ADDRESS,
            "\"0.0.0.0:9210\"",
            "Where stations connect.",
        ),
        Key::optional(
            "certificate",
            Kind::Path,
            "\"stations.pem\"",
            "Certificate (PEM) that stations know the gateway by; required without insecure_stations.",
        ),
        Key::optional(
            "certificate_key",
            Kind::Path,
            "\"stations.key\"",
            "Secret key (PEM) of the certificate; both or none.",
        ),
        Key::optional(
            "client_ca",
            Kind::Path,
            "\"station-ca.pem\"",
            "Certificates (PEM) that stations' are verified with, for stations that are known by theirs.",
        ),
        Key::with_default(
            "insecure_stations",
            Kind::Bool,
            "false",
            "true",
            "Whether stations may connect without TLS or without a secret (security profiles 0 and 1); raises an alarm.",
        ),
        Key::with_default(
            "heartbeat",
            Kind::Duration {
                min: Duration::from_secs(10),
                max: Duration::from_hours(24),
            },
            "\"5min\"",
            "\"1min\"",
            "How often a station says that it is there.",
        ),
        Key::tables("station", &STATION, "One station that may connect."),
        Key::tables(
            "token",
            &TOKEN,
            "One token by which cars are charged; others are not.",
        ),
    ],
};

static STATION: Schema = Schema {
    name: "station",
    about: "One station that may connect.",
    keys: &[
        Key::required(
            "id",
            STATION_ID,
            "\"CP-01\"",
            "Its id: the last part of its address, and its user name.",
        ),
        Key::required(
            "asset",
            ASSET,
            "\"station-01\"",
            "The charger that it is: its first connector. The n-th is the asset with `.n` after it.",
        ),
        Key::optional(
            "password_sha256",
            DIGEST,
            "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
            "SHA-256 of its password, which is 16 random bytes or more.",
        ),
        Key::optional(
            "certificate_sha256",
            DIGEST,
            "\"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"",
            "SHA-256 of its certificate (DER), when it is known by that.",
        ),
        Key::optional(
            "relay",
            RELAY,
            "\"wss://csms.example/ocpp\"",
            "Another back-office that hears of its transactions; the station's id is added. What it asks for is refused.",
        ),
        Key::optional(
            "relay_password",
            Kind::Path,
            "\"cp-01.password\"",
            "File with the station's password there.",
        ),
        Key::optional(
            "relay_ca",
            Kind::Path,
            "\"csms-ca.pem\"",
            "Certificates (PEM) that the back-office's is verified with; required for wss://.",
        ),
    ],
};

static TOKEN: Schema = Schema {
    name: "token",
    about: "One token by which cars are charged.",
    keys: &[
        Key::required(
            "id",
            Kind::Text,
            "\"04A2B3C4D5\"",
            "What the reader reads; case does not matter.",
        ),
        Key::with_default(
            "blocked",
            Kind::Bool,
            "false",
            "true",
            "Whether it must not charge.",
        ),
        Key::optional(
            "expires",
            INSTANT,
            "\"2027-01-31T00:00:00-06:00\"",
            "From when on it must not charge.",
        ),
        Key::optional(
            "group",
            Kind::Text,
            "\"night-shift\"",
            "Tokens of one group may end each other's transactions.",
        ),
    ],
};

static CONTROL: Schema = Schema {
    name: "depot's limits",
    about: "The depot whose electrical limits the gateway holds.",
    keys: &[
        Key::required(
            "depot",
            Kind::Path,
            "\"depot.toml\"",
            "The depot file: its circuits, stations and meters. Its stations and meters are those Modbus devices and connected stations whose asset is their id.",
        ),
        Key::optional(
            "installer_key",
            PUBLIC_KEY,
            "\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"",
            "The public key of the installer, who signs what breakers, transformers and stations are (depot-config sign). With it, a depot is taken only with its file of ratings beside it (depot.ratings), and nothing in it may be above those.",
        ),
    ],
};

static PAGE: Schema = Schema {
    name: "page",
    about: "The page for whoever looks after the depot: what is charged, why not more, start, stop, this car first.",
    keys: &[
        Key::required("listen", ADDRESS, "\"0.0.0.0:8080\"", "Where it is served."),
        Key::required(
            "pin",
            Kind::Text,
            "\"$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IG5vYm9keQ$Zz1Tn5Ym3Z0h0v8lQ5a8VQm0J0v4Yg2r1c0Wm3k5u7Q\"",
            "The hash of the PIN by which people come in; `edge pin` makes it.",
        ),
        Key::optional(
            "token",
            Kind::Text,
            "\"04A2B3C4D5\"",
            "The token of [[stations.token]] with which the page begins transactions; without it it begins none.",
        ),
        Key::optional(
            "certificate",
            Kind::Path,
            "\"page.pem\"",
            "Certificate (PEM) that browsers know the gateway by; required without insecure_page.",
        ),
        Key::optional(
            "certificate_key",
            Kind::Path,
            "\"page.key\"",
            "Secret key (PEM) of the certificate; both or none.",
        ),
        Key::with_default(
            "insecure_page",
            Kind::Bool,
            "false",
            "true",
            "Whether the page may be served without TLS on the depot's network: whoever listens there hears the PIN.",
        ),
    ],
};

static LOG: Schema = Schema {
    name: "log",
    about: "What it writes to its log.",
    keys: &[Key::with_default(
        "level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        "\"info\"",
        "\"debug\"",
        "Least serious event that is written.",
    )],
};
