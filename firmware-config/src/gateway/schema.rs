//! The keys of a gateway's configuration.

use std::time::Duration;

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
