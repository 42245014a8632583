//! A [`Dbc`] into a [`Decoder`].

use std::collections::HashMap;

use shared_protocol::{Decimal, Encoding, SignalDef, SignalRef, catalogue::catalogue};
use thiserror::Error;

use super::{
    Dbc, DbcSignal, Decoder, Message, Number, Signal,
    decoder::{Case, Field, Formula, Group, Kind, NOBODY, Switch},
    field::Bits,
};
use crate::{exact, profile::MappedSignal};

/// Why a mapping does not fit its DBC file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MappingError {
    /// The file has no such signal.
    #[error("the DBC file has no signal `{name}` (write Message.Signal)")]
    NoSignal {
        /// As the mapping writes it.
        name: String,
    },
    /// The catalogue has no such signal.
    #[error("signal `{name}`: the catalogue has no `{signal}`")]
    NotInCatalogue {
        /// The signal of the file.
        name: String,
        /// What it should be.
        signal: String,
    },
}

impl Decoder {
    /// Compiles a file; every signal keeps its own name, `Message.Signal`.
    pub fn new(dbc: &Dbc) -> Self {
        compile(dbc, &HashMap::new(), true)
    }

    /// Compiles a file for a vehicle profile: signals of `mapping` become what it says; the others keep their names, or
    /// are left out if `only_mapped`. Errors name every entry that does not fit.
    pub fn mapped(
        dbc: &Dbc,
        mapping: &[MappedSignal],
        only_mapped: bool,
    ) -> Result<Self, Vec<MappingError>> {
        let mut errors = Vec::new();
        let mut by_name: HashMap<&str, &MappedSignal> = HashMap::new();
        let names: std::collections::HashSet<String> = dbc
            .messages
            .iter()
            .flat_map(|m| m.signals.iter().map(|s| format!("{}.{}", m.name, s.name)))
            .collect();
        for entry in mapping {
            if !names.contains(&entry.name) {
                errors.push(MappingError::NoSignal {
                    name: entry.name.clone(),
                });
            }
            if let Some(signal) = &entry.signal
                && catalogue().by_name(signal).is_none()
            {
                let (name, signal) = (entry.name.clone(), signal.clone());
                errors.push(MappingError::NotInCatalogue { name, signal });
            }
            by_name.insert(&entry.name, entry);
        }
        if errors.is_empty() {
            Ok(compile(dbc, &by_name, !only_mapped))
        } else {
            Err(errors)
        }
    }
}

fn compile(dbc: &Dbc, mapping: &HashMap<&str, &MappedSignal>, keep_others: bool) -> Decoder {
    let mut compiler = Compiler {
        mapping,
        keep_others,
        decoder: Decoder {
            standard: vec![NOBODY; 0x800].into_boxed_slice(),
            extended: Vec::new(),
            groups: Vec::new(),
            fields: Vec::new(),
            switches: Vec::new(),
            cases: Vec::new(),
            formulas: Vec::new(),
            not_available: Vec::new(),
            signals: Vec::new(),
        },
        known: HashMap::new(),
    };
    for message in &dbc.messages {
        let members: Vec<&Signal> = message
            .signals
            .iter()
            .filter(|s| s.when.is_none())
            .collect();
        let before = compiler.decoder.signals.len();
        let root = compiler.group(message, &members);
        if compiler.decoder.signals.len() == before {
            continue;
        }
        if message.id.is_extended() {
            compiler.decoder.extended.push((message.id.raw(), root));
        } else {
            compiler.decoder.standard[message.id.raw() as usize] = root;
        }
    }
    compiler.decoder.extended.sort_unstable();
    compiler.decoder
}

/// Raw values of a multiplexor, both ends included.
type Ranges = [(u64, u64)];

struct Compiler<'a> {
    mapping: &'a HashMap<&'a str, &'a MappedSignal>,
    keep_others: bool,
    decoder: Decoder,
    /// Signals of one message and name that mean the same share a number: a multiplexor keeps them apart.
    known: HashMap<(String, String), Vec<u32>>,
}

impl Compiler<'_> {
    /// Adds a group of signals and, below its multiplexors, the groups they select. Returns its number.
    fn group(&mut self, message: &Message, members: &[&Signal]) -> u32 {
        let number = self.decoder.groups.len();
        let first_field = self.decoder.fields.len() as u32;
        for signal in members {
            self.field(message, signal);
        }
        let fields = first_field..self.decoder.fields.len() as u32;
        self.decoder.groups.push(Group {
            fields,
            switches: 0..0,
        });
        let mut switches = Vec::new();
        for switch in members.iter().filter(|s| s.multiplexor) {
            switches.extend(self.switch(message, switch));
        }
        let first_switch = self.decoder.switches.len() as u32;
        self.decoder.switches.extend(switches);
        self.decoder.groups[number].switches = first_switch..self.decoder.switches.len() as u32;
        number as u32
    }

    fn switch(&mut self, message: &Message, switch: &Signal) -> Option<Switch> {
        // Signals with the same ranges are one group.
        let mut selected: Vec<(&Ranges, Vec<&Signal>)> = Vec::new();
        for signal in &message.signals {
            let Some(when) = signal
                .when
                .as_ref()
                .filter(|w| w.multiplexor == switch.name)
            else {
                continue;
            };
            match selected
                .iter_mut()
                .find(|(ranges, _)| *ranges == when.ranges)
            {
                Some((_, members)) => members.push(signal),
                None => selected.push((&when.ranges, vec![signal])),
            }
        }
        let mut cases = Vec::new();
        for (ranges, members) in selected {
            let group = self.group(message, &members);
            // Ranges that touch or overlap are one: a group must not be entered twice for one value.
            let mut ranges = ranges.to_vec();
            ranges.sort_unstable();
            let mut merged: Vec<(u64, u64)> = Vec::new();
            for (low, high) in ranges {
                match merged.last_mut() {
                    Some(last) if low <= last.1 => last.1 = last.1.max(high),
                    _ => merged.push((low, high)),
                }
            }
            cases.extend(
                merged
                    .into_iter()
                    .map(|(low, high)| Case { low, high, group }),
            );
        }
        let first = self.decoder.cases.len() as u32;
        self.decoder.cases.extend(cases);
        let signed = switch.number == Number::Signed;
        Some(Switch {
            bits: Bits::of(switch)?,
            signed,
            cases: first..self.decoder.cases.len() as u32,
        })
    }

    fn field(&mut self, message: &Message, signal: &Signal) {
        let name = format!("{}.{}", message.name, signal.name);
        let mapped = self.mapping.get(name.as_str()).copied();
        if mapped.is_none() && !self.keep_others {
            return;
        }
        let Some(bits) = Bits::of(signal) else { return };
        let (scale, offset) = (signal.scale, signal.offset);
        let exact = match mapped {
            None => Some((scale, offset)),
            Some(mapped) => composed(scale, offset, mapped),
        };
        let float = signal.number == Number::Float;
        let (encoding, kind) = match exact {
            Some((scale, offset)) if !float => {
                // Only a full 64-bit field can exceed an i64.
                if signal.number == Number::Unsigned && signal.length == 64 {
                    (Encoding::Unsigned { scale, offset }, Kind::Unsigned)
                } else if signal.number == Number::Unsigned {
                    (Encoding::Scaled { scale, offset }, Kind::Unsigned)
                } else {
                    (Encoding::Scaled { scale, offset }, Kind::Signed)
                }
            }
            _ => {
                let formula = self.decoder.formulas.len() as u32;
                self.decoder.formulas.push(computed(scale, offset, mapped));
                let kind = match (signal.number, signal.length) {
                    (Number::Unsigned, _) => Kind::UnsignedFormula(formula),
                    (Number::Signed, _) => Kind::SignedFormula(formula),
                    (Number::Float, 32) => Kind::Binary32(formula),
                    (Number::Float, _) => Kind::Binary64(formula),
                };
                (Encoding::Float, kind)
            }
        };
        let known = mapped
            .and_then(|m| m.signal.as_deref())
            .and_then(|s| catalogue().by_name(s));
        let reference = match known {
            Some(known) => SignalRef::Catalogue(known.id),
            None => {
                let unit = mapped
                    .and_then(|m| m.unit.clone())
                    .unwrap_or_else(|| signal.unit.clone());
                SignalRef::Named {
                    name: name.clone(),
                    unit,
                }
            }
        };
        let codes = mapped
            .map(|m| m.not_available.as_slice())
            .unwrap_or_default();
        let first = self.decoder.not_available.len() as u32;
        self.decoder.not_available.extend(codes);
        let number = self.number(DbcSignal {
            message: message.name.clone(),
            name: signal.name.clone(),
            id: message.id,
            def: SignalDef {
                signal: reference,
                encoding,
            },
            texts: signal.texts.clone(),
        });
        let not_available = first..self.decoder.not_available.len() as u32;
        self.decoder.fields.push(Field {
            bits,
            kind,
            signal: number,
            not_available,
        });
    }

    fn number(&mut self, signal: DbcSignal) -> u32 {
        let signals = &mut self.decoder.signals;
        let same_name = self
            .known
            .entry((signal.message.clone(), signal.name.clone()))
            .or_default();
        if let Some(&same) = same_name.iter().find(|&&i| signals[i as usize] == signal) {
            return same;
        }
        let number = signals.len() as u32;
        signals.push(signal);
        same_name.push(number);
        number
    }
}

/// The file's scale and the mapping's in one, if that is an exact decimal.
fn composed(scale: Decimal, offset: Decimal, mapped: &MappedSignal) -> Option<(Decimal, Decimal)> {
    let through = |number| exact::quotient(exact::product(number, mapped.multiply)?, mapped.divide);
    Some((through(scale)?, exact::sum(through(offset)?, mapped.add)?))
}

fn computed(scale: Decimal, offset: Decimal, mapped: Option<&MappedSignal>) -> Formula {
    let (scale, offset) = (scale.to_f64(), offset.to_f64());
    match mapped {
        None => Formula { scale, offset },
        Some(mapped) => {
            let (multiply, divide) = (mapped.multiply.to_f64(), mapped.divide.to_f64());
            Formula {
                scale: scale * multiply / divide,
                offset: offset * multiply / divide + mapped.add.to_f64(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reading, dbc::Outcome};
    use isotp::CanId;

    const FILE: &str = concat!(
        "BO_ 1 A: 8 X\n",
        " SG_ Mux M : 0|8@1+ (1,0) [0|0] \"\" X\n",
        " SG_ Cell m0 : 8|16@1+ (0.001,0) [0|0] \"V\" X\n",
        " SG_ Cell m1 : 8|16@1+ (0.001,0) [0|0] \"V\" X\n",
        " SG_ Temp m1 : 24|8@1- (0.5,-40) [0|0] \"F\" X\n",
        " SG_ Flag : 63|1@1+ (1,0) [0|0] \"\" X\n",
        "BO_ 2147483649 B: 16 X\n",
        " SG_ Big : 0|64@1+ (0.5,0) [0|0] \"\" X\n",
        " SG_ Real : 64|32@1- (2,1) [0|0] \"\" X\n",
        "SIG_VALTYPE_ 2147483649 Real : 1;\n",
    );

    fn values(decoder: &Decoder, id: CanId, data: &[u8]) -> (Vec<(String, f64)>, Outcome) {
        let mut out: Vec<Reading> = Vec::new();
        let outcome = decoder.decode(id, data, &mut out);
        let named = out.iter().map(|r| {
            let signal = &decoder.signals()[r.signal as usize];
            (
                signal.def.signal.name().to_owned(),
                signal.def.encoding.value(r.raw),
            )
        });
        (named.collect(), outcome)
    }

    #[test]
    fn frames_into_values() {
        let dbc = Dbc::parse(FILE.as_bytes());
        assert_eq!(dbc.warnings, []);
        let decoder = Decoder::new(&dbc);
        assert_eq!(
            decoder.signals().len(),
            6,
            "both places of Cell are one signal"
        );
        let id = CanId::standard(1).unwrap();
        let (got, outcome) = values(&decoder, id, &[1, 0xA0, 0x0F, 0xFF, 0, 0, 0, 0x80]);
        let got: Vec<(&str, f64)> = got.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(
            got,
            [
                ("A.Mux", 1.0),
                ("A.Flag", 1.0),
                ("A.Cell", 4.0),
                ("A.Temp", -40.5)
            ]
        );
        assert_eq!(
            outcome,
            Outcome {
                known: true,
                readings: 4,
                missing: 0,
                not_available: 0
            }
        );
        let (got, outcome) = values(&decoder, id, &[0, 0xE8]);
        assert_eq!((got.len(), outcome.missing), (1, 2));
        assert_eq!(values(&decoder, id, &[]).1.missing, 2);
        assert!(
            !values(&decoder, CanId::standard(2).unwrap(), &[0; 8])
                .1
                .known
        );

        let mut data = [0xFF; 16];
        data[8..12].copy_from_slice(&1.5f32.to_le_bytes());
        let (got, _) = values(&decoder, CanId::extended(1).unwrap(), &data);
        assert_eq!(
            got,
            [
                ("B.Big".to_owned(), u64::MAX as f64 * 0.5),
                ("B.Real".to_owned(), 4.0)
            ]
        );
        assert_eq!(
            decoder.ids().map(|i| i.to_string()).collect::<Vec<_>>(),
            ["001", "00000001"]
        );
    }

    #[test]
    fn a_mapping() {
        let dbc = Dbc::parse(FILE.as_bytes());
        let mapping: Vec<MappedSignal> = serde_json::from_str(
            r#"[{"name": "A.Cell", "signal": "Vehicle.Powertrain.TractionBattery.CellVoltage.Max", "not_available": [65535]},
                {"name": "A.Temp", "signal": "Vehicle.Exterior.AirTemperature", "multiply": 5, "divide": 9, "add": "-17.7777777777777778"},
                {"name": "B.Big", "unit": "Wh", "multiply": "1000"}]"#,
        )
        .unwrap();
        let decoder = Decoder::mapped(&dbc, &mapping, true).unwrap();
        let id = CanId::standard(1).unwrap();
        let (got, outcome) = values(&decoder, id, &[1, 0xFF, 0xFF, 100, 0, 0, 0, 0]);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].0, "Vehicle.Exterior.AirTemperature");
        assert!((got[0].1 - (100.0 * 0.5 - 40.0 - 32.0) * 5.0 / 9.0).abs() < 1e-9);
        assert_eq!((outcome.not_available, outcome.missing), (1, 0));
        let big = decoder.signals().iter().find(|s| s.name == "Big").unwrap();
        assert_eq!(
            (big.def.signal.unit(), big.def.encoding),
            (
                "Wh",
                Encoding::Unsigned {
                    scale: "500".parse().unwrap(),
                    offset: Decimal::ZERO
                }
            )
        );

        let wrong = [
            MappedSignal {
                name: "A.Sell".into(),
                ..mapping[0].clone()
            },
            MappedSignal {
                signal: Some("Vehicle.Sped".into()),
                ..mapping[0].clone()
            },
        ];
        assert_eq!(Decoder::mapped(&dbc, &wrong, false).unwrap_err().len(), 2);
    }
}
