//! A signal set into commands.

use std::{collections::HashSet, time::Duration};

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Note, NoteKind, address, number};
use crate::profile::{Command, Every, Hex, Years};

/// One step of `tmo`.
const TIMEOUT_STEP: Duration = Duration::from_millis(4);

/// A signal set taken over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// Its commands in the order of the set. [`Table::new`](crate::diagnostic::Table::new) takes them.
    pub commands: Vec<Command>,
    /// What could not be taken over.
    pub notes: Vec<Note>,
}

/// What imported signals are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// By the set's ids and units.
    Own,
    /// Signals whose suggested metric is in the catalogue by the catalogue's name and unit; the others by the set's.
    Catalogue,
}

/// Why a text is not a signal set.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// No commands.
    #[error("not an OBDb signal set: it has no array `commands`")]
    NoCommands,
}

/// Imports a signal set.
pub fn import(text: &str, names: Names) -> Result<Imported, ImportError> {
    let set: Value = serde_json::from_str(text)?;
    let commands = set
        .get("commands")
        .and_then(Value::as_array)
        .ok_or(ImportError::NoCommands)?;
    let mut importer = Importer {
        notes: Vec::new(),
        names,
        session: None,
    };
    if let Some(set) = set.as_object() {
        importer.unknown_keys(
            "",
            set,
            &["commands", "diagnosticLevel", "signalGroups", "synthetics"],
        );
    }
    if set
        .get("synthetics")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty())
    {
        importer.note("synthetics", NoteKind::Synthetic);
    }
    importer.session = importer.byte("diagnosticLevel", set.get("diagnosticLevel"));
    let mut taken = HashSet::new();
    let mut imported = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        let path = format!("commands[{index}]");
        let Some(command) = command
            .as_object()
            .and_then(|command| importer.command(&path, command))
        else {
            continue;
        };
        if taken.insert(command.name.clone()) {
            imported.push(command);
        } else {
            importer.note(&path, NoteKind::Again(command.name));
        }
    }
    Ok(Imported {
        commands: imported,
        notes: importer.notes,
    })
}

/// What a set is read with; `session` is the set's own.
pub(super) struct Importer {
    pub(super) notes: Vec<Note>,
    pub(super) names: Names,
    pub(super) session: Option<u8>,
}

impl Importer {
    pub(super) fn note(&mut self, path: &str, kind: NoteKind) {
        self.notes.push(Note {
            path: path.to_owned(),
            kind,
        });
    }

    pub(super) fn unknown_keys(&mut self, path: &str, map: &Map<String, Value>, known: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            self.note(&path, NoteKind::UnknownKey);
        }
    }

    pub(super) fn form<T>(&mut self, path: &str, expected: &'static str) -> Option<T> {
        self.note(path, NoteKind::Form { expected });
        None
    }

    fn command(&mut self, path: &str, command: &Map<String, Value>) -> Option<Command> {
        self.unknown_keys(
            path,
            command,
            &[
                "hdr",
                "rax",
                "eax",
                "pri",
                "tst",
                "tmo",
                "fcm1",
                "dbg",
                "din",
                "dout",
                "cmd",
                "freq",
                "proto",
                "filter",
                "dbgfilter",
                "signals",
            ],
        );
        if let Some(proto) = command.get("proto").and_then(Value::as_str)
            && !proto.starts_with("15765-4")
        {
            self.note(&format!("{path}.proto"), NoteKind::NotCan(proto.to_owned()));
            return None;
        }
        let (service, identifier) = self.request(&format!("{path}.cmd"), command.get("cmd"))?;
        let addresses = self.addresses(path, command)?;
        let years = self.years(&format!("{path}.filter"), command.get("filter"))?;
        let Some(signals) = command.get("signals").and_then(Value::as_array) else {
            return self.form(&format!("{path}.signals"), "an array of signals");
        };
        let mut taken = HashSet::new();
        let mut imported = Vec::new();
        for (index, signal) in signals.iter().enumerate() {
            let path = format!("{path}.signals[{index}]");
            let Some(signal) = signal
                .as_object()
                .and_then(|signal| self.signal(&path, signal))
            else {
                continue;
            };
            if taken.insert(signal.name.clone()) {
                imported.push(signal);
            } else {
                self.note(&path, NoteKind::Again(signal.name));
            }
        }
        if imported.is_empty() {
            self.note(path, NoteKind::NoSignals);
            return None;
        }
        let every = command
            .get("freq")
            .and_then(Value::as_f64)
            .filter(|freq| *freq > 0.0 && *freq < 1e6);
        // In whole milliseconds, and not faster than a profile may ask.
        let every =
            every.map(|freq| Duration::from_millis(((freq * 1000.0).round() as u64).max(50)));
        if every.is_none() {
            self.note(
                &format!("{path}.freq"),
                NoteKind::Form {
                    expected: "seconds",
                },
            );
        }
        let timeout = self.byte(&format!("{path}.tmo"), command.get("tmo"));
        let session = self
            .byte(&format!("{path}.din"), command.get("din"))
            .or(self.session);
        let command = Command {
            name: address::name(command, service, &identifier, years.as_ref()),
            bus: None,
            request: addresses.request,
            response: addresses.response,
            request_extension: addresses.request_extension,
            response_extension: addresses.response_extension,
            service,
            identifier,
            session,
            answer_length: None,
            timeout: timeout
                .filter(|&steps| steps > 0)
                .map(|steps| TIMEOUT_STEP * u32::from(steps)),
            every: Every {
                asleep: None,
                awake: every,
                charging: every,
                driving: every,
            },
            years,
            signal: imported,
        };
        if command.response.is_none() && !command.is_functional() && command.address().is_err() {
            self.note(path, NoteKind::NoResponse);
        }
        Some(command)
    }

    fn request(&mut self, path: &str, cmd: Option<&Value>) -> Option<(u8, Hex)> {
        let entries = cmd
            .and_then(Value::as_object)
            .filter(|cmd| cmd.len() == 1)
            .and_then(|cmd| cmd.iter().next());
        let Some((service, identifier)) = entries else {
            return self.form(path, "one service with its identifier");
        };
        let lengths = match service.as_str() {
            "01" | "21" => 1,
            "22" => 2,
            _ => return self.form(path, "service 01, 21 or 22"),
        };
        let identifier: Option<Hex> = identifier.as_str().and_then(|text| text.parse().ok());
        match (service.parse::<Hex>(), identifier) {
            (Ok(service), Some(identifier)) if identifier.0.len() == lengths => {
                Some((service.0[0], identifier))
            }
            _ => self.form(
                path,
                "an identifier of one byte (service 01, 21) or two (22)",
            ),
        }
    }

    /// Outer `None`: the command cannot be taken over.
    #[expect(clippy::option_option)]
    fn years(&mut self, path: &str, filter: Option<&Value>) -> Option<Option<Years>> {
        let Some(filter) = filter else {
            return Some(None);
        };
        let year = |value: &Value| number::whole(value).and_then(|year| u16::try_from(year).ok());
        let Some(map) = filter.as_object() else {
            return self.form(path, "model years");
        };
        self.unknown_keys(path, map, &["from", "to", "years"]);
        let end = |key: &str| map.get(key).map(year);
        let also = match map.get("years") {
            None => Some(Vec::new()),
            Some(list) => list
                .as_array()
                .and_then(|list| list.iter().map(year).collect()),
        };
        match (end("from"), end("to"), also) {
            (Some(None), ..) | (_, Some(None), _) | (.., None) => self.form(path, "model years"),
            (from, to, Some(also)) => {
                let years = Years {
                    from: from.flatten(),
                    to: to.flatten(),
                    also,
                };
                if years == Years::default() {
                    return self.form(path, "model years");
                }
                Some(Some(years))
            }
        }
    }

    /// One byte in two hexadecimal digits.
    pub(super) fn byte(&mut self, path: &str, value: Option<&Value>) -> Option<u8> {
        let value = value?;
        match value
            .as_str()
            .and_then(|text| text.parse::<Hex>().ok())
            .as_ref()
            .map(|hex| hex.0.as_slice())
        {
            Some(&[byte]) => Some(byte),
            _ => {
                self.note(
                    path,
                    NoteKind::Form {
                        expected: "two hexadecimal digits",
                    },
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Table;

    fn one(command: &str) -> Imported {
        import(&format!(r#"{{"commands": [{command}]}}"#), Names::Own).unwrap()
    }

    const SIGNAL: &str = r#""freq": 0.25, "signals": [{"id": "S", "name": "s", "fmt": {"len": 8, "max": 10, "unit": "volts"}}]"#;

    #[test]
    fn addresses_and_names() {
        for (keys, request, response, extensions, name) in [
            (
                r#""hdr": "7E4", "rax": "7EC", "fcm1": true"#,
                "7E4",
                Some("7EC"),
                (None, None),
                "7E4.7EC.220101|fc=1",
            ),
            (r#""hdr": "7E0""#, "7E0", None, (None, None), "7E0.220101"),
            (
                r#""hdr": "DA10", "rax": "10""#,
                "18DA10F1",
                Some("18DAF110"),
                (None, None),
                "DA10.10.220101",
            ),
            (
                r#""hdr": "FC00", "rax": "FE007B", "tst": "7B", "pri": "17""#,
                "17FC007B",
                Some("17FE007B"),
                (None, None),
                "FC00.FE007B.220101|ta=7B,c=17",
            ),
            (
                r#""hdr": "6F1", "rax": "607", "eax": "07", "fcm1": true"#,
                "6F1",
                Some("607"),
                (Some(0x07), Some(0xF1)),
                "6F1.607.220101|e=07,fc=1",
            ),
            (
                r#""hdr": "750", "rax": "758", "eax": "2A", "tst": "2A""#,
                "750",
                Some("758"),
                (Some(0x2A), Some(0x2A)),
                "750.758.220101|e=2A,ta=2A",
            ),
            (
                r#""hdr": "7E0", "filter": {"from": 2022, "to": 2011, "years": [2015, 2013]}"#,
                "7E0",
                None,
                (None, None),
                "7E0.220101|f=2022-;-2011;2013;2015",
            ),
        ] {
            let imported = one(&format!(r#"{{{keys}, "cmd": {{"22": "0101"}}, {SIGNAL}}}"#));
            assert_eq!(imported.notes, [], "{keys}");
            let command = &imported.commands[0];
            assert_eq!(command.request.to_string(), request);
            assert_eq!(
                command.response.map(|id| id.to_string()).as_deref(),
                response
            );
            assert_eq!(
                (command.request_extension, command.response_extension),
                extensions
            );
            assert_eq!(command.name, name);
            assert_eq!(command.every.driving, Some(Duration::from_millis(250)));
            Table::new(imported.commands.clone()).unwrap();
        }
    }

    #[test]
    fn what_is_left_out_is_told() {
        for (from, to, says) in [
            (
                "\"hdr\": \"7E4\"",
                "\"hdr\": \"7E\"",
                "commands[0].hdr: left out: `7E` gives no CAN identifier",
            ),
            (
                "\"hdr\"",
                "\"proto\": \"9141-2\", \"hdr\"",
                "commands[0].proto: left out: protocol 9141-2 is not CAN",
            ),
            (
                "\"hdr\"",
                "\"new\": 1, \"hdr\"",
                "commands[0].new: unknown key",
            ),
            ("\"7E4\"", "\"743\"", "commands[0]: no `rax`"),
            (
                "\"22\": \"0101\"",
                "\"2E\": \"0101\"",
                "commands[0].cmd: left out: expected service",
            ),
            (
                "\"22\": \"0101\"",
                "\"22\": \"01\"",
                "commands[0].cmd: left out: expected an identifier",
            ),
            ("\"freq\": 0.25", "\"freq\": 0", "commands[0].freq"),
            (
                "\"len\": 8",
                "\"len\": 65",
                "commands[0].signals[0].fmt.len: left out: 65 bits",
            ),
            (
                "\"len\": 8",
                "\"len\": 12, \"blsb\": true",
                "commands[0].signals[0].fmt.blsb: left out: little",
            ),
            (
                "\"len\": 8",
                "\"len\": 8, \"div\": 0",
                "commands[0].signals[0].fmt: left out: a scale of 0",
            ),
            (
                "\"len\": 8",
                "\"len\": 8, \"new\": 0",
                "commands[0].signals[0].fmt.new: unknown key",
            ),
            (
                "\"len\": 8",
                "\"len\": 8, \"mul\": \"1\"",
                "commands[0].signals[0].fmt.mul: left out: expected a number",
            ),
        ] {
            let sound = format!(r#"{{"hdr": "7E4", "cmd": {{"22": "0101"}}, {SIGNAL}}}"#);
            let changed = sound.replacen(from, to, 1);
            assert_ne!(sound, changed, "{from}");
            let notes: Vec<String> = one(&changed)
                .notes
                .iter()
                .map(ToString::to_string)
                .collect();
            assert!(notes[0].starts_with(says), "{says}: {notes:?}");
        }
        assert!(matches!(
            import("[]", Names::Own),
            Err(ImportError::NoCommands)
        ));
        assert!(matches!(import("{", Names::Own), Err(ImportError::Json(_))));
    }

    #[test]
    fn metrics_become_the_catalogue_s() {
        let set = r#"{"commands": [{"hdr": "7E4", "cmd": {"22": "0101"}, "freq": 1, "signals": [
            {"id": "A", "name": "a", "suggestedMetric": "odometer", "fmt": {"len": 24, "max": 900000, "div": 10, "unit": "miles"}},
            {"id": "B", "name": "b", "suggestedMetric": "odometer", "fmt": {"len": 24, "max": 900000, "unit": "hours"}}]}]}"#;
        let imported = import(set, Names::Catalogue).unwrap();
        let [a, b] = imported.commands[0].signal.as_slice() else {
            panic!()
        };
        assert_eq!(a.signal.as_deref(), Some("Vehicle.TraveledDistance"));
        assert_eq!(
            (
                a.unit.as_str(),
                a.multiply.to_string(),
                a.max.unwrap().to_string()
            ),
            ("km", "1.609344".into(), "1448409.6".into())
        );
        assert_eq!((b.signal.as_deref(), b.unit.as_str()), (None, "hours"));
        assert_eq!(imported.notes.len(), 1);
        Table::new(imported.commands).unwrap();
    }
}
