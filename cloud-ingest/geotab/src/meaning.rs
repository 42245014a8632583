//! What records mean: `data/geotab.toml`.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use devices::{Device, Digest, Record, Unread, Why};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shared_protocol::{Decimal, Encoding, SignalDef};

use crate::protocol::Entity;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    diagnostic: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    signal: String,
    scale: f64,
    unit: String,
}

struct List {
    diagnostics: HashMap<String, (Arc<SignalDef>, f64)>,
    latitude: Arc<SignalDef>,
    longitude: Arc<SignalDef>,
    speed: Arc<SignalDef>,
}

/// MyGeotab's numbers are floats.
fn float(name: &str, unit: &str) -> Result<Arc<SignalDef>, String> {
    let def = devices::signal(name, unit, Decimal::ONE, Decimal::ZERO)?;
    Ok(Arc::new(SignalDef {
        encoding: Encoding::Float,
        ..def
    }))
}

fn read(text: &str) -> Result<List, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut diagnostics = HashMap::new();
    for entry in file.diagnostic {
        let def =
            float(&entry.signal, &entry.unit).map_err(|why| format!("{}: {why}", entry.id))?;
        if diagnostics
            .insert(entry.id.clone(), (def, entry.scale))
            .is_some()
        {
            return Err(format!("{} stands there twice", entry.id));
        }
    }
    Ok(List {
        diagnostics,
        latitude: float("Vehicle.CurrentLocation.Latitude", "degrees")?,
        longitude: float("Vehicle.CurrentLocation.Longitude", "degrees")?,
        speed: float("Vehicle.Speed", "km/h")?,
    })
}

static LIST: LazyLock<List> = LazyLock::new(|| {
    read(include_str!("../data/geotab.toml")).expect("a test reads the list that ships")
});

/// The vehicle that a record is about, and when it was.
pub(crate) fn about(record: &Value) -> Option<(&str, Timestamp)> {
    let device = record["device"]["id"].as_str()?;
    let time = record["dateTime"].as_str()?.parse().ok()?;
    Some((device, time))
}

/// A text of a record; MyGeotab writes an entity as its id alone or as an object with it.
pub(crate) fn id_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["id"].as_str())
}

/// Names a record: by its id where it has one.
pub(crate) fn digest(entity: Entity, record: &Value) -> Digest {
    let name = match record["id"].as_str() {
        Some(id) => id.to_owned(),
        None => record.to_string(),
    };
    Digest::of(format!("{}:{name}", entity.name()).as_bytes())
}

/// What a record says of its vehicle.
pub(crate) fn record(
    entity: Entity,
    device: &Arc<Device>,
    time: Timestamp,
    record: &Value,
) -> Record {
    let list = &*LIST;
    let (mut values, mut unread) = (Vec::new(), Vec::new());
    let mut value = |code: &str, def: &Arc<SignalDef>, number: f64| {
        values.push((
            code.to_owned(),
            Arc::clone(def),
            number.to_bits().cast_signed(),
        ));
    };
    match entity {
        Entity::LogRecord => {
            for (key, def) in [
                ("latitude", &list.latitude),
                ("longitude", &list.longitude),
                ("speed", &list.speed),
            ] {
                if let Some(number) = record[key].as_f64() {
                    value(key, def, number);
                }
            }
        }
        Entity::StatusData => {
            let id = id_of(&record["diagnostic"]).unwrap_or("none");
            match (list.diagnostics.get(id), record["data"].as_f64()) {
                (Some((def, scale)), Some(number)) => value(id, def, number * scale),
                _ => unread.push(Unread {
                    code: id.chars().take(100).collect(),
                    why: Why::Unmapped,
                    detail: record["data"].to_string(),
                }),
            }
        }
        Entity::Device | Entity::FaultData => {}
    }
    Record {
        device: Arc::clone(device),
        time,
        digest: digest(entity, record),
        values,
        unread,
        payload: record.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_that_ships_is_right() {
        assert!(super::LIST.diagnostics.len() > 5);
        let wrong =
            "[[diagnostic]]\nid = \"a\"\nsignal = \"Vehicle.Speed\"\nscale = 1.0\nunit = \"mph\"\n";
        assert!(super::read(wrong).is_err_and(|error| error.contains("km/h")));
    }
}
