//! What names mean: those of the catalogue, and those of `data/json.toml`.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use shared_protocol::{Decimal, Encoding, SignalDef, catalogue};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    signal: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    signal: String,
    scale: f64,
    unit: String,
}

/// What a name means.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    pub(crate) def: Arc<SignalDef>,
    pub(crate) scale: f64,
}

/// What names mean.
#[derive(Clone, Debug)]
pub struct List(HashMap<String, Meaning>);

/// A signal whose values are floats, as JSON's numbers are.
fn float(name: &str, unit: &str) -> Result<Arc<SignalDef>, String> {
    let def = crate::signal(name, unit, Decimal::ONE, Decimal::ZERO)?;
    Ok(Arc::new(SignalDef {
        encoding: Encoding::Float,
        ..def
    }))
}

impl List {
    /// Reads a list like `data/json.toml`; the catalogue's own names are always there.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut known = HashMap::new();
        for signal in catalogue().signals() {
            let def = float(&signal.name, &signal.unit)?;
            known.insert(signal.name.clone(), Meaning { def, scale: 1.0 });
        }
        for entry in file.signal {
            let def = float(&entry.signal, &entry.unit)
                .map_err(|why| format!("{}: {why}", entry.name))?;
            if !entry.scale.is_normal() {
                return Err(format!("{}: {} is no scale", entry.name, entry.scale));
            }
            let meaning = Meaning {
                def,
                scale: entry.scale,
            };
            if known.insert(entry.name.clone(), meaning).is_some() {
                return Err(format!(
                    "{}: it stands there twice, or is a name of the catalogue",
                    entry.name
                ));
            }
        }
        Ok(Self(known))
    }

    /// The list that ships.
    pub fn shipped() -> Arc<Self> {
        static LIST: LazyLock<Arc<List>> = LazyLock::new(|| {
            let text = include_str!("../../data/json.toml");
            Arc::new(List::read(text).expect("a test reads the list that ships"))
        });
        Arc::clone(&LIST)
    }

    pub(crate) fn meaning(&self, name: &str) -> Option<&Meaning> {
        self.0.get(name)
    }
}
