//! Every event there is, as data: `catalogue.toml`. What is published is checked against it, and its page
//! (`CATALOGUE.md`) is made of it.

mod check;
mod page;

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value, json};

pub use check::Mismatch;

/// The text of the catalogue.
const TEXT: &str = include_str!("../../catalogue.toml");

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::read(TEXT).expect("catalogue.toml is checked by a test"));

/// All events.
#[derive(Clone, Debug)]
pub struct Catalogue {
    events: BTreeMap<(String, i16), Definition>,
}

/// One version of one event.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name, `subject.what`, past tense where something is over.
    pub name: String,
    /// Version of its payload, from 1.
    pub version: i16,
    /// What it means.
    pub about: String,
    /// The kind of thing it happens to: `vehicle` of `vehicle:17`.
    pub aggregate: String,
    /// The permission without which nobody may read it.
    pub permission: String,
    /// The fields of its payload.
    pub fields: BTreeMap<String, Field>,
}

/// A field of a payload.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it may be missing.
    #[serde(default)]
    pub optional: bool,
    /// What it may be, of a choice.
    #[serde(default)]
    pub choices: Vec<String>,
    /// What it means.
    pub about: String,
    /// A value.
    pub example: Value,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number that JSON readers do not round: at most 2^53.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A time, RFC 3339.
    Time,
    /// An amount in minor units with its currency.
    Money,
    /// One of several words.
    Choice,
}

impl Catalogue {
    /// The catalogue of this program.
    pub fn get() -> &'static Self {
        &CATALOGUE
    }

    fn read(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct File {
            event: Vec<Definition>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut events = BTreeMap::new();
        for event in file.event {
            let key = (event.name.clone(), event.version);
            if events.insert(key, event).is_some() {
                return Err("an event comes twice in one version".to_owned());
            }
        }
        Ok(Self { events })
    }

    /// All definitions, by name and version.
    pub fn events(&self) -> impl Iterator<Item = &Definition> {
        self.events.values()
    }

    /// The newest version of an event.
    pub fn newest(&self, name: &str) -> Option<&Definition> {
        let range = (name.to_owned(), 0)..=(name.to_owned(), i16::MAX);
        self.events.range(range).next_back().map(|(_, event)| event)
    }

    /// The names that somebody with these permissions may read.
    pub fn readable(&self, may: impl Fn(&str) -> bool) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .events()
            .filter(|event| may(&event.permission))
            .map(|event| event.name.as_str())
            .collect();
        names.dedup();
        names
    }

    /// The page for people, in Markdown.
    pub fn page(&self) -> String {
        page::page(self)
    }
}

impl Definition {
    /// A payload as an example.
    pub fn example(&self) -> Value {
        let fields = self.fields.iter();
        let fields = fields.map(|(name, field)| (name.clone(), field.example.clone()));
        Value::Object(fields.collect::<Map<_, _>>())
    }

    /// The payload's JSON Schema (2020-12).
    pub fn schema(&self) -> Value {
        let required: Vec<&String> = self
            .fields
            .iter()
            .filter(|(_, field)| !field.optional)
            .map(|(name, _)| name)
            .collect();
        let properties: Map<String, Value> = self
            .fields
            .iter()
            .map(|(name, field)| (name.clone(), field.schema()))
            .collect();
        json!({
            "type": "object",
            "required": required,
            "additionalProperties": false,
            "properties": properties,
        })
    }
}

impl Field {
    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::Integer => json!({"type": "integer"}),
            Kind::Number => json!({"type": "number"}),
            Kind::Boolean => json!({"type": "boolean"}),
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            Kind::Choice => json!({"type": "string", "enum": self.choices}),
            Kind::Money => json!({
                "type": "object",
                "required": ["minor", "currency"],
                "additionalProperties": false,
                "properties": {
                    "minor": {"type": "integer"},
                    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                },
            }),
        };
        schema["description"] = self.about.clone().into();
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_named_well_and_its_example_fits() {
        let catalogue = Catalogue::read(TEXT).unwrap();
        assert!(catalogue.events().count() >= 7);
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
        };
        for event in catalogue.events() {
            let name = &event.name;
            assert!(name.contains('.') && name.split('.').all(word), "{name}");
            assert!(event.version > 0 && word(&event.aggregate), "{name}");
            assert!(event.permission.split('.').all(word), "{name}");
            assert!(event.about.ends_with('.'), "{name}");
            event.check(&event.example()).unwrap();
            for (field, about) in &event.fields {
                assert!(word(field) && about.about.ends_with('.'), "{name} {field}");
                assert_eq!(
                    about.kind == Kind::Choice,
                    !about.choices.is_empty(),
                    "{name} {field}"
                );
            }
        }
        for name in [
            "charging.session.completed",
            "vehicle.ready",
            "gateway.offline",
            "battery.anomaly",
            "payment.received",
        ] {
            assert!(catalogue.newest(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_page_is_what_the_catalogue_says() {
        let page = Catalogue::get().page();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CATALOGUE.md");
        if std::env::var_os("PATIO_WRITE_CATALOGUE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == page,
            "CATALOGUE.md is not what catalogue.toml says: run this test with PATIO_WRITE_CATALOGUE=1"
        );
    }

    #[test]
    fn the_newest_version_is_found_and_names_are_shown_to_those_who_may_read() {
        let text = TEXT.replacen(
            "name = \"battery.anomaly\"\nversion = 1",
            "name = \"vehicle.ready\"\nversion = 2",
            1,
        );
        let catalogue = Catalogue::read(&text).unwrap();
        assert_eq!(catalogue.newest("vehicle.ready").unwrap().version, 2);
        assert!(catalogue.newest("vehicle").is_none());
        let names = catalogue.readable(|permission| permission == "gateways.read");
        assert_eq!(names, ["gateway.offline", "gateway.online"]);
        assert!(Catalogue::read(&text.replacen("version = 2", "version = 1", 1)).is_err());
    }
}
