//! What a charging station can be told to do: names and parameters that are the same for all versions of OCPP, and their
//! messages in each (`station-commands.toml`).

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A version of OCPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OCPP 1.6.
    V16,
    /// OCPP 2.0.1.
    V201,
}

/// A command.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StationCommand {
    /// Its name.
    pub name: String,
    /// What it does, in a sentence.
    pub about: String,
    v16: Option<Form>,
    v201: Option<Form>,
    #[serde(rename = "parameter")]
    parameters: Vec<Parameter>,
}

/// Its message in a version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    action: String,
    #[serde(default)]
    fixed: BTreeMap<String, Value>,
    number: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    name: String,
    kind: Kind,
    #[serde(default)]
    required: Required,
    v16: Option<String>,
    v201: Option<String>,
    #[serde(default)]
    values: BTreeMap<String, [String; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Text,
    Integer,
    Number,
    /// A time with its offset (RFC 3339).
    Time,
    /// One of its values.
    Choice,
    /// A transaction: a number in 1.6, a text in 2.0.1.
    Name,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Required {
    Always(bool),
    /// In this version alone.
    Version(String),
}

impl Default for Required {
    fn default() -> Self {
        Self::Always(false)
    }
}

/// Why a text is no command to a station, or the station's version does not have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoStationCommand(String);

#[derive(Deserialize)]
struct Table {
    command: Vec<StationCommand>,
}

/// All commands, in the order of the table.
pub fn station_commands() -> &'static [StationCommand] {
    static TABLE: LazyLock<Vec<StationCommand>> = LazyLock::new(|| {
        let text = include_str!("../station-commands.toml");
        let table: Table = toml::from_str(text).expect("the table that ships is read by a test");
        table.command
    });
    &TABLE
}

/// What a station is to do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StationOrder {
    /// The station, as it calls itself.
    pub station: String,
    /// The command's name.
    pub command: String,
    /// Its parameters.
    #[serde(default)]
    pub with: Map<String, Value>,
}

fn wrong(text: impl Into<String>) -> NoStationCommand {
    NoStationCommand(text.into())
}

impl StationOrder {
    /// Reads `{"station": "CP-1", "command": "unlock", "with": {"connector": 1}}`.
    ///
    /// # Errors
    /// What is wrong with it: no such command, a parameter that is missing, unknown, or of another kind.
    pub fn parse(text: &str) -> Result<Self, NoStationCommand> {
        let order: Self = serde_json::from_str(text).map_err(|error| {
            wrong(format!(
                "expected {{\"station\": …, \"command\": …, \"with\": {{…}}}}: {error}"
            ))
        })?;
        let command = order.definition()?;
        for (name, value) in &order.with {
            let known = command.parameters.iter().find(|one| one.name == *name);
            let Some(parameter) = known else {
                let names: Vec<_> = command.parameters.iter().map(|one| &*one.name).collect();
                return Err(wrong(format!(
                    "`{}` has no parameter `{name}`: it has {}",
                    command.name,
                    if names.is_empty() {
                        "none".to_owned()
                    } else {
                        names.join(", ")
                    }
                )));
            };
            parameter.check(value)?;
        }
        for parameter in &command.parameters {
            if parameter.required == Required::Always(true)
                && !order.with.contains_key(&parameter.name)
            {
                return Err(missing(command, parameter));
            }
        }
        Ok(order)
    }

    fn definition(&self) -> Result<&'static StationCommand, NoStationCommand> {
        let found = station_commands()
            .iter()
            .find(|one| one.name == self.command);
        found.ok_or_else(|| {
            let names: Vec<_> = station_commands().iter().map(|one| &*one.name).collect();
            wrong(format!(
                "stations know no command `{}`: there are {}",
                self.command,
                names.join(", ")
            ))
        })
    }

    /// Its message in a version: action and payload. `number` names the request where the version wants that.
    ///
    /// # Errors
    /// When the version does not have the command, or asks for more.
    pub fn message(
        &self,
        dialect: Dialect,
        number: i32,
    ) -> Result<(&'static str, Value), NoStationCommand> {
        let command = self.definition()?;
        let (form, version) = match dialect {
            Dialect::V16 => (&command.v16, "1.6"),
            Dialect::V201 => (&command.v201, "2.0.1"),
        };
        let Some(form) = form else {
            let name = &command.name;
            return Err(wrong(format!("OCPP {version} has no `{name}`")));
        };
        let mut payload = json!({});
        for (place, value) in &form.fixed {
            put(&mut payload, place, value.clone());
        }
        if let Some(place) = &form.number {
            put(&mut payload, place, json!(number));
        }
        for parameter in &command.parameters {
            let place = match dialect {
                Dialect::V16 => &parameter.v16,
                Dialect::V201 => &parameter.v201,
            };
            let Some(place) = place else { continue };
            match self.with.get(&parameter.name) {
                Some(value) => put(&mut payload, place, parameter.value(dialect, value)?),
                None if parameter.required == Required::Version(version.to_owned()) => {
                    return Err(missing(command, parameter));
                }
                None => {}
            }
        }
        // Connector 0 is the station as a whole: 2.0.1 says so by naming none.
        if payload["evse"]["id"] == 0
            && let Some(all) = payload.as_object_mut()
        {
            all.remove("evse");
        }
        Ok((&form.action, payload))
    }
}

fn missing(command: &StationCommand, parameter: &Parameter) -> NoStationCommand {
    wrong(format!("`{}` needs `{}`", command.name, parameter.name))
}

impl Parameter {
    fn check(&self, value: &Value) -> Result<(), NoStationCommand> {
        let (good, form) = match self.kind {
            Kind::Text => (
                value.as_str().is_some_and(|text| !text.is_empty()),
                "a text".to_owned(),
            ),
            Kind::Integer => (
                value
                    .as_i64()
                    .is_some_and(|number| i32::try_from(number).is_ok_and(|number| number >= 0)),
                "a whole number from 0 on".to_owned(),
            ),
            Kind::Number => (
                value.as_f64().is_some_and(|number| number >= 0.0),
                "a number from 0 on".to_owned(),
            ),
            Kind::Time => (
                value
                    .as_str()
                    .is_some_and(|text| text.len() >= 20 && text.as_bytes()[10] == b'T'),
                "a time with its offset (2026-05-04T10:00:00Z)".to_owned(),
            ),
            Kind::Name => (
                value.as_str().is_some_and(|text| !text.is_empty()),
                "the name of a transaction, a text".to_owned(),
            ),
            Kind::Choice => {
                let names: Vec<_> = self.values.keys().map(String::as_str).collect();
                let known = value.as_str().is_some_and(|text| names.contains(&text));
                (known, format!("one of {}", names.join(", ")))
            }
        };
        if good {
            Ok(())
        } else {
            let name = &self.name;
            Err(wrong(format!("`{name}`: expected {form}, found `{value}`")))
        }
    }

    fn value(&self, dialect: Dialect, value: &Value) -> Result<Value, NoStationCommand> {
        let text = value.as_str().unwrap_or_default();
        match (self.kind, dialect) {
            (Kind::Choice, _) => {
                let words = self.values.get(text);
                let words = words.ok_or_else(|| wrong(format!("`{}`: `{text}`", self.name)))?;
                Ok(json!(words[usize::from(dialect == Dialect::V201)]))
            }
            (Kind::Name, Dialect::V16) => {
                let number: Result<i32, _> = text.parse();
                number.map(Value::from).map_err(|_| {
                    let name = &self.name;
                    wrong(format!(
                        "`{name}`: OCPP 1.6 has numbers for transactions, found `{text}`"
                    ))
                })
            }
            _ => Ok(value.clone()),
        }
    }
}

/// Puts a value at a JSON pointer, and makes what holds it.
fn put(into: &mut Value, pointer: &str, value: Value) {
    let mut place = into;
    for step in pointer.split('/').skip(1) {
        place = if step == "0" {
            if !place.is_array() {
                *place = json!([null]);
            }
            &mut place[0]
        } else {
            &mut place[step]
        };
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_version_and_every_parameter_a_place() {
        for command in station_commands() {
            assert!(
                command.v16.is_some() || command.v201.is_some(),
                "{command:?}"
            );
            for parameter in &command.parameters {
                assert!(
                    parameter.v16.is_some() || parameter.v201.is_some(),
                    "{parameter:?}"
                );
                let choice = parameter.kind == Kind::Choice;
                assert_eq!(choice, !parameter.values.is_empty(), "{parameter:?}");
            }
        }
    }

    fn order(text: &str) -> StationOrder {
        StationOrder::parse(text).unwrap()
    }

    #[test]
    fn one_order_becomes_a_message_of_either_version() {
        let set = order(
            r#"{"station": "CP", "command": "set-configuration", "with": {"component": "A", "variable": "B", "value": "5"}}"#,
        );
        assert_eq!(
            set.message(Dialect::V16, 7).unwrap(),
            ("ChangeConfiguration", json!({"key": "B", "value": "5"}))
        );
        let data =
            json!([{"component": {"name": "A"}, "variable": {"name": "B"}, "attributeValue": "5"}]);
        assert_eq!(
            set.message(Dialect::V201, 7).unwrap(),
            ("SetVariables", json!({ "setVariableData": data }))
        );
        let start = order(
            r#"{"station": "CP", "command": "remote-start", "with": {"token": "CARD", "connector": 1}}"#,
        );
        let (_, payload) = start.message(Dialect::V201, 7).unwrap();
        assert_eq!(
            payload,
            json!({"remoteStartId": 7, "evseId": 1, "idToken": {"idToken": "CARD", "type": "Central"}})
        );
        let out = order(
            r#"{"station": "CP", "command": "change-availability", "with": {"connector": 0, "service": "out"}}"#,
        );
        let (_, payload) = out.message(Dialect::V201, 7).unwrap();
        assert_eq!(payload, json!({"operationalStatus": "Inoperative"}));
        let stop =
            order(r#"{"station": "CP", "command": "remote-stop", "with": {"transaction": "12"}}"#);
        let (_, payload) = stop.message(Dialect::V16, 7).unwrap();
        assert_eq!(payload, json!({"transactionId": 12}));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| StationOrder::parse(text).unwrap_err().to_string();
        assert!(said("{}").contains("expected"));
        let unknown = r#"{"station": "CP", "command": "dance"}"#;
        assert!(said(unknown).contains("no command `dance`: there are remote-start, "));
        let missing = r#"{"station": "CP", "command": "unlock"}"#;
        assert_eq!(said(missing), "`unlock` needs `connector`");
        let strange = r#"{"station": "CP", "command": "clear-cache", "with": {"all": true}}"#;
        assert!(said(strange).ends_with("it has none"));
        for (name, value) in [
            ("connector", "-1"),
            ("connector", "\"1\""),
            ("connector", "1.5"),
        ] {
            let text = format!(
                r#"{{"station": "CP", "command": "unlock", "with": {{"{name}": {value}}}}}"#
            );
            assert!(said(&text).contains("expected a whole number"), "{text}");
        }
        let choice = r#"{"station": "CP", "command": "reset", "with": {"how": "now"}}"#;
        assert!(said(choice).contains("one of hard, soft"));
        let get = order(
            r#"{"station": "CP", "command": "get-configuration", "with": {"variable": "B"}}"#,
        );
        assert!(get.message(Dialect::V16, 1).is_ok());
        let error = get.message(Dialect::V201, 1).unwrap_err();
        assert_eq!(error.to_string(), "`get-configuration` needs `component`");
        let status = order(
            r#"{"station": "CP", "command": "transaction-status", "with": {"transaction": "a"}}"#,
        );
        let error = status.message(Dialect::V16, 1).unwrap_err();
        assert_eq!(error.to_string(), "OCPP 1.6 has no `transaction-status`");
    }
}
