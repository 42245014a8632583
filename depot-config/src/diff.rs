//! What changed between two depots, by key. Order, spacing, comments and defaults that are written out are no changes.

use std::fmt;

use config_file::{Kind, Schema, same_value, value_text};
use toml::{Table, Value};

use crate::depot::{Depot, SCHEMA};

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key, with the ids of the tables around it: `station[s-07].max_current`.
    pub key: String,
    /// What it was; `None` when it was not there.
    pub old: Option<String>,
    /// What it is; `None` when it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, old, new } = self;
        match (old, new) {
            (Some(old), Some(new)) => write!(f, "~ {key}: {old} → {new}"),
            (None, Some(new)) => write!(f, "+ {key}: {new}"),
            (Some(old), None) => write!(f, "- {key}: {old}"),
            (None, None) => write!(f, "  {key}"),
        }
    }
}

/// What changed, by the order of the keys in a depot file.
pub fn diff(old: &Depot, new: &Depot) -> Vec<Change> {
    let table = |depot: &Depot| Table::try_from(depot).expect("a depot is a table of TOML");
    let mut changes = Vec::new();
    tables("", &table(old), &table(new), &SCHEMA, &mut changes);
    changes
}

/// What tells the tables of an array apart.
fn identity(table: &Table) -> &str {
    let mut keys = ["id", "name", "date"].iter();
    keys.find_map(|key| table.get(*key)?.as_str())
        .unwrap_or_default()
}

fn tables(
    path: &str,
    old: &Table,
    new: &Table,
    schema: &'static Schema,
    changes: &mut Vec<Change>,
) {
    for key in schema.keys {
        let path = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        let text = |value: &Value| match key.unit {
            "" => value_text(value),
            unit => format!("{} {unit}", value_text(value)),
        };
        match (&key.kind, old.get(key.name), new.get(key.name)) {
            (_, None, None) => {}
            (Kind::Table(inner), Some(Value::Table(old)), Some(Value::Table(new))) => {
                tables(&path, old, new, inner, changes);
            }
            (Kind::Tables(inner), Some(Value::Array(old)), Some(Value::Array(new))) => {
                arrays(&path, old, new, inner, changes);
            }
            (_, Some(old), Some(new)) if same_value(old, new) => {}
            (_, old, new) => changes.push(Change {
                key: path,
                old: old.map(text),
                new: new.map(text),
            }),
        }
    }
}

fn arrays(
    path: &str,
    old: &[Value],
    new: &[Value],
    schema: &'static Schema,
    changes: &mut Vec<Change>,
) {
    let find = |array: &[Value], id: &str| {
        let mut tables = array.iter().filter_map(Value::as_table);
        tables.find(|table| identity(table) == id).cloned()
    };
    for was in old.iter().filter_map(Value::as_table) {
        let id = identity(was);
        let key = format!("{path}[{id}]");
        match find(new, id) {
            Some(is) => tables(&key, was, &is, schema, changes),
            None => changes.push(Change {
                key,
                old: Some(value_text(&Value::Table(was.clone()))),
                new: None,
            }),
        }
    }
    for is in new.iter().filter_map(Value::as_table) {
        let id = identity(is);
        if find(old, id).is_none() {
            changes.push(Change {
                key: format!("{path}[{id}]"),
                old: None,
                new: Some(value_text(&Value::Table(is.clone()))),
            });
        }
    }
}
