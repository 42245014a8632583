//! A small file format that uses every kind of key.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use config_file::{Key, Kind, Presence, Schema, Syntax};
use serde::Deserialize;

/// A yard with doors and lamps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Yard {
    pub(crate) name: String,
    pub(crate) plan: Option<PathBuf>,
    pub(crate) gate: Gate,
    pub(crate) log: Log,
    pub(crate) lamp: Vec<Lamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gate {
    pub(crate) width: f64,
    pub(crate) open: bool,
    #[serde(deserialize_with = "config_file::duration")]
    pub(crate) delay: Duration,
    pub(crate) address: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    #[serde(deserialize_with = "config_file::bytes")]
    pub(crate) quota: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lamp {
    pub(crate) id: String,
    pub(crate) power: u16,
    pub(crate) scale: serde_json::Value,
    pub(crate) mark: serde_json::Value,
    pub(crate) hours: Vec<u8>,
    pub(crate) colours: BTreeMap<String, i64>,
    pub(crate) bulb: Vec<Bulb>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulb {
    pub(crate) socket: String,
}

fn host_and_port(text: &str) -> Result<(), String> {
    let (host, port) = text.split_once(':').ok_or("the port is missing")?;
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    port.parse::<u16>()
        .map(drop)
        .map_err(|_| "the port must be a number up to 65535".to_owned())
}

pub(crate) static YARD: Schema = Schema {
    name: "yard",
    about: "A yard with a gate and lamps.",
    keys: &[
        Key::required("name", Kind::Text, "\"North\"", "What people call it."),
        Key::optional("plan", Kind::Path, "\"plan.svg\"", "Its drawing."),
        Key::table("gate", &GATE, "The way in."),
        Key::table("log", &LOG, "What it writes down.").presence(Presence::Default("{}")),
        Key::tables("lamp", &LAMP, "One lamp."),
    ],
};

static GATE: Schema = Schema {
    name: "gate",
    about: "The way in.",
    keys: &[
        Key::required(
            "width",
            Kind::Number {
                min: 2.5,
                max: 12.0,
            },
            "4.2",
            "Clear width.",
        )
        .unit("m"),
        Key::with_default(
            "open",
            Kind::Bool,
            "false",
            "true",
            "Whether it stands open by day.",
        ),
        Key::with_default(
            "delay",
            Kind::Duration {
                min: Duration::from_millis(100),
                max: Duration::from_hours(1),
            },
            "\"10s\"",
            "\"250ms\"",
            "Time until it closes.",
        ),
        Key::required(
            "address",
            Kind::Syntax(Syntax {
                form: "an address such as \"host:502\"",
                check: host_and_port,
            }),
            "\"gate.local:502\"",
            "Where its controller listens | or not.",
        ),
    ],
};

static LOG: Schema = Schema {
    name: "log",
    about: "What it writes down.",
    keys: &[
        Key::with_default(
            "level",
            Kind::Choice(&["error", "warn", "info"]),
            "\"info\"",
            "\"warn\"",
            "Least serious thing that is written.",
        ),
        Key::with_default(
            "quota",
            Kind::Bytes {
                min: 1 << 20,
                max: 1 << 40,
            },
            "\"1GiB\"",
            "\"512MiB\"",
            "Most room it may take.",
        ),
    ],
};

static LAMP: Schema = Schema {
    name: "lamp",
    about: "One lamp.",
    keys: &[
        Key::required("id", Kind::Text, "\"L1\"", "Its label."),
        Key::required(
            "power",
            Kind::Integer { min: 1, max: 2000 },
            "40",
            "What it draws.",
        )
        .unit("W"),
        Key::with_default("scale", Kind::Decimal, "1", "\"0.1\"", "Watts per step."),
        Key::with_default(
            "mark",
            Kind::AnyOf(&[
                Kind::Integer { min: 0, max: 9 },
                Kind::Choice(&["none", "all"]),
            ]),
            "\"none\"",
            "3",
            "Number on the post.",
        ),
        Key::with_default(
            "hours",
            Kind::List {
                of: &Kind::Integer { min: 0, max: 23 },
                min: 1,
                max: 24,
            },
            "[18]",
            "[18, 19]",
            "Hours in which it is lit.",
        ),
        Key::with_default(
            "colours",
            Kind::Map(&Kind::Integer { min: 0, max: 255 }),
            "{}",
            "{ red = 255 }",
            "Brightness of each colour.",
        ),
        Key::tables("bulb", &BULB, "One bulb of the lamp."),
    ],
};

static BULB: Schema = Schema {
    name: "bulb",
    about: "What screws in.",
    keys: &[Key::required(
        "socket",
        Kind::Choice(&["E14", "E27"]),
        "\"E27\"",
        "Its thread.",
    )],
};
