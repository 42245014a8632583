//! Answers into readings.

use std::{collections::BTreeMap, ops::Range};

use shared_protocol::{SignalDef, SignalRef, catalogue::catalogue};
use thiserror::Error;

use super::field::{Field, Found};
use crate::{
    Reading,
    profile::{self, Command, Level, Problem},
};

/// Commands compiled for decoding their answers.
#[derive(Clone, Debug)]
pub struct Table {
    commands: Vec<Command>,
    /// Each command's fields.
    ranges: Vec<Range<usize>>,
    fields: Vec<Field>,
    signals: Vec<DiagnosticField>,
}

/// A signal as the table produces it; [`Reading::signal`] is its place in [`Table::signals`].
#[derive(Clone, Debug, PartialEq)]
pub struct DiagnosticField {
    /// Place of its command in [`Table::commands`].
    pub command: usize,
    /// Its own name in the command.
    pub name: String,
    /// What its raw integers are: a signal of the catalogue if the profile says so, else under its own name.
    pub def: SignalDef,
    /// Texts of raw values.
    pub texts: BTreeMap<i64, String>,
}

/// What became of the signals of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Readings put out.
    pub readings: u32,
    /// Signals that the answer is too short for.
    pub missing: u32,
    /// Signals of which the ECU says that it has no value.
    pub not_available: u32,
    /// Signals whose value cannot be true.
    pub outside: u32,
}

/// Why an answer holds no readings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The ECU refuses (ISO 14229-1, Annex A.1).
    #[error("refused: negative response code {code:02X} to service {service:02X}")]
    Negative {
        /// The service it refuses.
        service: u8,
        /// Why.
        code: u8,
    },
    /// The answer to another request.
    #[error("the answer begins with {found}, not with {expected}: it answers another request")]
    Foreign {
        /// Service + 40 hex and identifier, in hexadecimal digits.
        expected: String,
        /// As many bytes of the answer.
        found: String,
    },
}

impl Table {
    /// Compiles commands. Errors are the [problems](profile::Profile::check) that make decoding impossible; warnings
    /// among the problems are not looked at.
    pub fn new(commands: Vec<Command>) -> Result<Self, Vec<Problem>> {
        let mut problems = profile::check_commands(&commands);
        problems.retain(|problem| problem.level == Level::Error);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (mut ranges, mut fields, mut signals) = (Vec::new(), Vec::new(), Vec::new());
        for (number, command) in commands.iter().enumerate() {
            let first = fields.len();
            for signal in &command.signal {
                let field = Field::new(signal);
                let known = signal
                    .signal
                    .as_deref()
                    .and_then(|name| catalogue().by_name(name));
                let reference = match known {
                    Some(known) => SignalRef::Catalogue(known.id),
                    None => SignalRef::Named {
                        name: signal.name.clone(),
                        unit: signal.unit.clone(),
                    },
                };
                signals.push(DiagnosticField {
                    command: number,
                    name: signal.name.clone(),
                    def: SignalDef {
                        signal: reference,
                        encoding: field.encoding(),
                    },
                    texts: signal.texts.clone(),
                });
                fields.push(field);
            }
            ranges.push(first..fields.len());
        }
        Ok(Self {
            commands,
            ranges,
            fields,
            signals,
        })
    }

    /// The commands, as they were given.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// All signals this table can produce.
    pub fn signals(&self) -> &[DiagnosticField] {
        &self.signals
    }

    /// Decodes an answer to the command of this number, a whole message as ISO-TP delivers it, and appends its readings
    /// to `out`. An answer that does not repeat service and identifier gives none.
    pub fn decode(
        &self,
        command: usize,
        answer: &[u8],
        out: &mut Vec<Reading>,
    ) -> Result<Outcome, AnswerError> {
        let mut outcome = Outcome::default();
        let (Some(asked), Some(range)) = (self.commands.get(command), self.ranges.get(command))
        else {
            return Ok(outcome);
        };
        let data = after_echo(asked, answer)?;
        for number in range.clone() {
            match self.fields[number].find(data) {
                Found::Raw(raw) => {
                    outcome.readings += 1;
                    out.push(Reading {
                        signal: number as u32,
                        raw,
                    });
                }
                Found::Missing => outcome.missing += 1,
                Found::NotAvailable => outcome.not_available += 1,
                Found::Outside => outcome.outside += 1,
            }
        }
        Ok(outcome)
    }
}

/// The bytes after service and identifier (ISO 14229-1 §8: a positive response is the service + 40 hex).
fn after_echo<'a>(command: &Command, answer: &'a [u8]) -> Result<&'a [u8], AnswerError> {
    if let &[0x7F, service, code, ..] = answer
        && service == command.service
    {
        return Err(AnswerError::Negative { service, code });
    }
    let mut expected = vec![command.service.wrapping_add(0x40)];
    expected.extend(&command.identifier.0);
    answer
        .strip_prefix(expected.as_slice())
        .ok_or_else(|| AnswerError::Foreign {
            found: profile::Hex(answer[..answer.len().min(expected.len())].to_vec()).to_string(),
            expected: profile::Hex(expected).to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        #[derive(serde::Deserialize)]
        struct File {
            command: Vec<Command>,
        }
        let file: File = toml::from_str(
            r#"
            [[command]]
            name = "c"
            request = "7E4"
            service = "22"
            identifier = "0101"
            [[command.signal]]
            name = "soc"
            signal = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
            length = 8
            divide = 2
            max = 100
            [[command.signal]]
            name = "far"
            bit = 80
            length = 16
            "#,
        )
        .unwrap();
        Table::new(file.command).unwrap()
    }

    #[test]
    fn answers() {
        let table = table();
        let mut out = Vec::new();
        let outcome = table.decode(0, &[0x62, 1, 1, 100], &mut out).unwrap();
        assert_eq!(
            outcome,
            Outcome {
                readings: 1,
                missing: 1,
                ..Outcome::default()
            }
        );
        let signal = &table.signals()[out[0].signal as usize];
        assert_eq!(
            (
                signal.def.signal.unit(),
                signal.def.encoding.value(out[0].raw)
            ),
            ("percent", 50.0)
        );
        assert_eq!(
            table
                .decode(0, &[0x62, 1, 1, 201], &mut out)
                .unwrap()
                .outside,
            1
        );
        for (answer, error) in [
            (
                &[0x7F, 0x22, 0x31][..],
                AnswerError::Negative {
                    service: 0x22,
                    code: 0x31,
                },
            ),
            (
                &[0x62, 1, 2, 50],
                AnswerError::Foreign {
                    expected: "620101".into(),
                    found: "620102".into(),
                },
            ),
            (
                &[0x62],
                AnswerError::Foreign {
                    expected: "620101".into(),
                    found: "62".into(),
                },
            ),
            (
                &[],
                AnswerError::Foreign {
                    expected: "620101".into(),
                    found: String::new(),
                },
            ),
        ] {
            assert_eq!(table.decode(0, answer, &mut out), Err(error));
        }
        assert_eq!(out.len(), 1);
    }
}
