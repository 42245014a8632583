//! What an installer has signed of a depot: what its breakers, transformers and stations are, so that nobody who may only
//! write the depot file can raise it.
//!
//! The file of ratings lies beside the depot file (`centro.ratings` beside `centro.toml`):
//!
//! ```text
//! Patio ratings 1
//! depot.id = centro
//! circuit[main].breaker = 400 A
//! …
//! key = <the installer's public key, 64 hexadecimal digits>
//! signature = <Ed25519 over all lines above, 128 hexadecimal digits>
//! ```
//!
//! It says what is installed, not what is wanted: contract, tariff and shifts are money, and where a station is found
//! (Modbus, OCPP) is the gateway's own configuration. What a signed value allows is in [`FIELDS`].

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use shared_protocol::{
    SigningKey, VerifyingKey,
    envelope::{Kind, is_signed, sign},
};

use crate::depot::{Circuit, Depot, Station};

const TITLE: &str = "Patio ratings 1";

/// What a depot may have where a value was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allows {
    /// Only what was signed: it tells how things are wired, and what stations do whatever anybody writes.
    Same,
    /// What was signed or less. Where nothing was signed, anything.
    Less,
    /// What was signed or more.
    More,
}

/// The values of circuits, stations and meters that are signed, and what they allow.
pub const FIELDS: [(&str, Allows); 16] = [
    ("parent", Allows::Same),
    ("phases", Allows::Same),
    ("breaker", Allows::Less),
    ("continuous", Allows::Less),
    ("limit.L1", Allows::Less),
    ("limit.L2", Allows::Less),
    ("limit.L3", Allows::Less),
    ("limit.N", Allows::Less),
    ("reserved", Allows::More),
    ("transformer.power", Allows::Less),
    ("transformer.connection", Allows::Same),
    ("transformer.voltage_system", Allows::Same),
    ("circuit", Allows::Same),
    ("max_current", Allows::Same),
    ("fallback_current", Allows::Same),
    ("switches_phases", Allows::Same),
];

/// Why a file of ratings says nothing that can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingsError {
    /// It is no file of ratings, or not all of it.
    #[error("line {line}: expected {expected}, found {found}")]
    Form {
        /// Counted from 1.
        line: usize,
        /// What has to be there.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// A word of it, or its signature, was changed. With the key that it names.
    #[error(
        "the signature is not one of these values by the key {0}: it was changed after it was signed; \
         take the installer's file, or let the installer sign again"
    )]
    Signature(String),
    /// More than a signature is for.
    #[error("these are more values than can be signed: split the depot")]
    Long,
}

/// What was signed, with a signature that was found to be right.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratings {
    /// Whose signature it is.
    pub key: VerifyingKey,
    values: BTreeMap<String, String>,
}

/// A value that is not the one that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, with the id of its table: `circuit[main].breaker`.
    pub key: String,
    /// What was signed; `None`: nothing.
    pub signed: Option<String>,
    /// What the depot has; `None`: nothing.
    pub found: Option<String>,
    /// What the signature allows here.
    pub allows: Allows,
    /// Whether it needs no new signature.
    pub allowed: bool,
}

impl Difference {
    /// What the signature allows, in words.
    pub fn expected(&self) -> String {
        let Some(signed) = &self.signed else {
            return format!("no {}, as the installer has signed", self.key);
        };
        let how = match self.allows {
            Allows::Same => "",
            Allows::Less => "at most ",
            Allows::More => "at least ",
        };
        format!("{} = {how}{signed}, as the installer has signed", self.key)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let (found, signed) = (text(&self.found), text(&self.signed));
        write!(f, "{}: {found}, signed {signed}", self.key)
    }
}

/// Where the ratings of a depot file are.
pub fn beside(depot: &Path) -> PathBuf {
    depot.with_extension("ratings")
}

/// The text of the file in which the holder of this key vouches for what a depot is.
pub fn signed(depot: &Depot, key: &SigningKey) -> Result<String, RatingsError> {
    let values = values(depot);
    let lines = values
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"));
    let lines: String = lines.collect();
    let text = format!("{TITLE}\n{lines}key = {}\n", key.verifying_key());
    let signature = sign(Kind::Ratings, &text, key).ok_or(RatingsError::Long)?;
    Ok(format!("{text}signature = {}\n", hex::encode(signature)))
}

impl Ratings {
    /// Reads a file of ratings and verifies its signature. Whether its key is one to be relied on is for the caller to say.
    pub fn parse(text: &str) -> Result<Self, RatingsError> {
        let form = |line: usize, expected: &'static str, found: &str| RatingsError::Form {
            line,
            expected,
            found: if found.is_empty() {
                "nothing".to_owned()
            } else {
                format!("`{found}`")
            },
        };
        let lines: Vec<_> = text.lines().collect();
        let title = lines.first().copied().unwrap_or_default();
        if title != TITLE {
            return Err(form(1, "the title `Patio ratings 1`", title));
        }
        let [_, middle @ .., key, signature] = &lines[..] else {
            let place = lines.len() + 1;
            return Err(form(place, "values, a key and a signature", ""));
        };
        let of = |line: usize, name: &str, expected: &'static str, found: &str| {
            let value = found
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(" = "));
            value
                .map(str::to_owned)
                .ok_or_else(|| form(line, expected, found))
        };
        let (at_key, at_signature) = (lines.len() - 1, lines.len());
        let expected = "`signature = ` and 128 hexadecimal digits, as the last line";
        let digits = of(at_signature, "signature", expected, signature)?;
        let mut bytes = [0; 64];
        hex::decode_to_slice(&digits, &mut bytes)
            .map_err(|_| form(at_signature, expected, signature))?;
        let expected = "`key = ` and 64 hexadecimal digits, before the signature";
        let digits = of(at_key, "key", expected, key)?;
        let key = VerifyingKey::from_hex(&digits).map_err(|_| form(at_key, expected, key))?;
        // All bytes above the signature, whatever ends their lines.
        let above = text.rfind("signature = ").map_or("", |end| &text[..end]);
        if !is_signed(Kind::Ratings, above, &bytes, &key) {
            return Err(RatingsError::Signature(key.to_string()));
        }
        let mut values = BTreeMap::new();
        for (place, line) in middle.iter().enumerate() {
            let value = line.split_once(" = ");
            let (key, value) = value.ok_or_else(|| form(place + 2, "`key = value`", line))?;
            values.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self { key, values })
    }

    /// All values of a depot that are not those that were signed.
    pub fn differences(&self, depot: &Depot) -> Vec<Difference> {
        let found = values(depot);
        let mut keys: Vec<_> = self.values.keys().chain(found.keys()).collect();
        keys.sort();
        keys.dedup();
        let pairs = keys.into_iter().filter_map(|key| {
            let (signed, found) = (self.values.get(key), found.get(key));
            let (allows, allowed) = (allows(key), is_allowed(key, signed, found));
            (signed != found).then(|| Difference {
                key: key.clone(),
                signed: signed.cloned(),
                found: found.cloned(),
                allows,
                allowed,
            })
        });
        pairs.collect()
    }
}

fn allows(key: &str) -> Allows {
    let field = key.rsplit_once("].").map_or("", |(_, field)| field);
    let found = FIELDS.iter().find(|(name, _)| *name == field);
    found.map_or(Allows::Same, |(_, allows)| *allows)
}

fn is_allowed(key: &str, signed: Option<&String>, found: Option<&String>) -> bool {
    if signed == found {
        return true;
    }
    let number = |text: &String| text.split(' ').next()?.parse::<f64>().ok();
    let numbers = signed.and_then(number).zip(found.and_then(number));
    match (allows(key), signed, numbers) {
        // The limit of a phase or of the neutral where none was signed.
        (Allows::Less, None, _) => key.contains("].limit."),
        (Allows::Less, _, Some((signed, found))) => found <= signed,
        (Allows::More, _, Some((signed, found))) => found >= signed,
        _ => false,
    }
}

/// What is signed of a depot, by key.
fn values(depot: &Depot) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([
        ("depot.id".to_owned(), depot.site.id.to_string()),
        (
            "depot.voltage_system".to_owned(),
            depot.site.voltage_system.text().to_owned(),
        ),
    ]);
    let mut add = |table: &str, id: &str, fields: Vec<(&str, String)>| {
        for (field, value) in fields {
            values.insert(format!("{table}[{id}].{field}"), value);
        }
    };
    for circuit in &depot.circuits {
        add("circuit", circuit.id.as_str(), of_circuit(circuit));
    }
    for station in &depot.stations {
        add("station", station.id.as_str(), of_station(station));
    }
    for meter in &depot.meters {
        let fields = vec![("circuit", meter.circuit.to_string())];
        add("meter", meter.id.as_str(), fields);
    }
    values
}

fn of_circuit(circuit: &Circuit) -> Vec<(&'static str, String)> {
    let supply = || "the supply".to_owned();
    let parent = circuit
        .parent
        .as_ref()
        .map_or_else(supply, ToString::to_string);
    let continuous = if circuit.rated_100_percent { 100 } else { 80 };
    let mut fields = vec![
        ("parent", parent),
        ("phases", circuit.phases.to_string()),
        ("breaker", format!("{} A", circuit.breaker)),
        ("continuous", format!("{continuous} %")),
        ("reserved", format!("{} A", circuit.reserved)),
    ];
    let limits = circuit.phase_limits.iter().flatten();
    for (phase, limit) in circuit.phases.as_slice().iter().zip(limits) {
        let field = ["limit.L1", "limit.L2", "limit.L3"][*phase as usize];
        fields.push((field, format!("{limit} A")));
    }
    if let Some(limit) = circuit.neutral_limit {
        fields.push(("limit.N", format!("{limit} A")));
    }
    if let Some(transformer) = &circuit.transformer {
        let system = transformer.voltage_system.text().to_owned();
        fields.extend([
            ("transformer.power", format!("{} kVA", transformer.power)),
            (
                "transformer.connection",
                format!("{:?}", transformer.connection),
            ),
            ("transformer.voltage_system", system),
        ]);
    }
    fields
}

fn of_station(station: &Station) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("circuit", station.circuit.to_string()),
        ("phases", station.phases.to_string()),
        ("max_current", format!("{} A", station.max_current)),
        (
            "fallback_current",
            format!("{} A", station.fallback_current),
        ),
    ];
    if station.switches_phases {
        fields.push(("switches_phases", "true".to_owned()));
    }
    fields
}
