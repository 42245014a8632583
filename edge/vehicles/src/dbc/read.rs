//! Statements into a [`Dbc`]. The grammar of each statement is `can-dbc`'s; what statements mean together is here.

use std::collections::{BTreeMap, HashMap, HashSet};

use can_dbc::{SignalExtendedValueType, ValueDescription, ValueType};
use isotp::CanId;
use shared_protocol::Decimal;

use super::{
    ByteOrder, Dbc, Message, Number, Signal, Warning, WarningKind, When,
    field::{Bits, FRAME},
    grammar::{decimal, number_of, on_one_line, parse, with_any_receiver, with_any_transmitter},
    multiplex::{DraftSignal, resolve},
    statements::{self, Statement},
};

/// The message under which the format keeps signals that are in no message, by number and by name.
const NO_MESSAGE: u64 = 0xC000_0000;
const NO_MESSAGE_NAME: &str = "VECTOR__INDEPENDENT_SIG_MSG";

/// Bit 31 of a message's number marks a 29-bit identifier.
const EXTENDED: u64 = 1 << 31;

impl Dbc {
    /// Reads a file: UTF-8, or else Windows-1252. What cannot be used is left out and told in
    /// [`warnings`](Self::warnings); a file of which nothing can be used gives no messages, never an error.
    pub fn parse(bytes: &[u8]) -> Self {
        let (text, windows) = statements::text_of(bytes);
        let mut reader = Reader::default();
        if windows {
            reader.warn(1, WarningKind::NotUtf8);
        }
        for statement in statements::split(&text) {
            if statement.unclosed {
                reader.warn(statement.line, WarningKind::OpenString);
            }
            reader.take(&statement);
        }
        reader.finish()
    }
}

/// A message while the file is being read.
struct Draft {
    number: u64,
    id: CanId,
    name: String,
    length: u16,
    line: u32,
    signals: Vec<DraftSignal>,
}

/// Where the signals of the current message go.
enum Current {
    /// To the last draft.
    Kept,
    /// Nowhere, for a reason already told or none to tell.
    LeftOut,
    /// There is no message.
    None,
}

struct Reader {
    drafts: Vec<Draft>,
    current: Current,
    /// `SG_MUL_VAL_`: (message, signal) to multiplexor and ranges.
    extended: HashMap<(u64, String), When>,
    warnings: Vec<Warning>,
    long_names: HashMap<u64, String>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            drafts: Vec::new(),
            current: Current::None,
            extended: HashMap::new(),
            warnings: Vec::new(),
            long_names: HashMap::new(),
        }
    }
}

impl Reader {
    fn warn(&mut self, line: u32, kind: WarningKind) {
        self.warnings.push(Warning { line, kind });
    }

    fn take(&mut self, statement: &Statement<'_>) {
        let result = match statement.keyword {
            "BO_" => self.message(statement),
            "SG_" => self.signal(statement),
            "SIG_VALTYPE_" => self.value_type(statement),
            "SG_MUL_VAL_" => self.multiplexing(statement),
            "VAL_" => self.texts(statement),
            "BA_" => self.long_name(statement),
            _ => Ok(()),
        };
        if let Err(reason) = result {
            // The list of NS_ without its indentation looks like statements of one word.
            if statement.text.trim() != statement.keyword {
                self.warn(
                    statement.line,
                    WarningKind::Unreadable {
                        keyword: statement.keyword,
                        reason,
                    },
                );
            }
        }
    }

    fn message(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        self.current = Current::LeftOut;
        let number = number_of(statement)?;
        let read = parse(&with_any_transmitter(statement.text))?;
        let message = read.messages.into_iter().next().ok_or("no message in it")?;
        let name = message.name;
        if number == NO_MESSAGE || name == NO_MESSAGE_NAME {
            return Ok(());
        }
        let id = if number & EXTENDED != 0 {
            CanId::extended((number & !EXTENDED) as u32)
        } else if number <= 0x7FF {
            CanId::standard(number as u32)
        } else {
            // Bit 31 forgotten: no 11-bit identifier is that large.
            CanId::extended(u32::try_from(number).unwrap_or(u32::MAX))
        };
        let Ok(id) = id else {
            self.warn(statement.line, WarningKind::Identifier { name, id: number });
            return Ok(());
        };
        if message.size > FRAME as u64 {
            self.warn(
                statement.line,
                WarningKind::MessageLength {
                    name,
                    length: message.size,
                },
            );
            return Ok(());
        }
        let length = message.size as u16;
        self.drafts.push(Draft {
            number,
            id,
            name,
            length,
            line: statement.line,
            signals: Vec::new(),
        });
        self.current = Current::Kept;
        Ok(())
    }

    fn signal(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let draft = match self.current {
            Current::LeftOut => return Ok(()),
            Current::None => {
                self.warn(statement.line, WarningKind::NoMessage);
                return Ok(());
            }
            Current::Kept => self.drafts.last_mut().expect("kept drafts are pushed"),
        };
        let read = parse(&format!(
            "BO_ 0 m: 8 Vector__XXX\n {}",
            with_any_receiver(statement.text)
        ))?;
        let signal = read
            .messages
            .into_iter()
            .next()
            .and_then(|m| m.signals.into_iter().next());
        let signal = signal.ok_or("no signal in it")?;
        let (line, name) = (statement.line, signal.name);
        if !(1..=64).contains(&signal.size) {
            self.warn(
                line,
                WarningKind::SignalLength {
                    name,
                    length: signal.size,
                },
            );
            return Ok(());
        }
        let order = match signal.byte_order {
            can_dbc::ByteOrder::LittleEndian => ByteOrder::Intel,
            can_dbc::ByteOrder::BigEndian => ByteOrder::Motorola,
        };
        let Some(bits) = Bits::new(signal.start_bit, signal.size, order) else {
            self.warn(line, WarningKind::BeyondFrame { name });
            return Ok(());
        };
        let (needs, has) = (u16::from(bits.needs), draft.length);
        let (Some(scale), Some(offset)) = (decimal(signal.factor), decimal(signal.offset)) else {
            self.warn(line, WarningKind::Scale { name });
            return Ok(());
        };
        draft.signals.push(DraftSignal {
            signal: Signal {
                name: name.clone(),
                start: signal.start_bit as u16,
                length: signal.size as u16,
                order,
                number: match signal.value_type {
                    ValueType::Signed => Number::Signed,
                    ValueType::Unsigned => Number::Unsigned,
                },
                scale,
                offset,
                unit: signal.unit,
                multiplexor: false,
                when: None,
                texts: BTreeMap::new(),
                line,
            },
            indicator: signal.multiplexer_indicator,
            long_name: None,
        });
        if needs > has {
            self.warn(
                line,
                WarningKind::BeyondMessage {
                    name: name.clone(),
                    needs,
                    has,
                },
            );
        }
        if scale == Decimal::ZERO {
            self.warn(line, WarningKind::ScaleZero { name });
        }
        Ok(())
    }

    fn value_type(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let number = number_of(statement)?;
        for entry in parse(&on_one_line(statement.text))?.signal_extended_value_type_list {
            if entry.signal_extended_value_type != SignalExtendedValueType::SignedOrUnsignedInteger
            {
                self.each_named(statement, number, &entry.signal_name, |s| {
                    s.signal.number = Number::Float;
                });
            }
        }
        Ok(())
    }

    fn texts(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let read = parse(&on_one_line(statement.text))?;
        for entry in read.value_descriptions {
            // Texts of environment variables have no message.
            if let ValueDescription::Signal {
                name,
                value_descriptions,
                ..
            } = entry
            {
                let number = number_of(statement)?;
                let texts: BTreeMap<i64, String> = value_descriptions
                    .into_iter()
                    .map(|v| (v.id, v.description))
                    .collect();
                self.each_named(statement, number, &name, |s| {
                    s.signal.texts.clone_from(&texts);
                });
            }
        }
        Ok(())
    }

    fn multiplexing(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let number = number_of(statement)?;
        for entry in parse(&on_one_line(statement.text))?.extended_multiplex {
            let ranges = entry
                .mappings
                .iter()
                .map(|m| (m.min_value, m.max_value))
                .collect();
            let when = When {
                multiplexor: entry.multiplexor_signal_name,
                ranges,
            };
            self.each_named(statement, number, &entry.signal_name, |_| {});
            let known = self.extended.entry((number, entry.signal_name));
            known
                .and_modify(|k| k.ranges.extend(&when.ranges))
                .or_insert(when);
        }
        Ok(())
    }

    /// Names longer than 32 characters stand in attributes; the statements carry a shortened one.
    fn long_name(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        if !["\"SystemMessageLongSymbol\"", "\"SystemSignalLongSymbol\""]
            .iter()
            .any(|n| statement.text.contains(n))
        {
            return Ok(());
        }
        // `BA_ "SystemMessageLongSymbol" BO_ 100 "…";`: the number is the fourth word.
        let number = statement
            .text
            .split_whitespace()
            .nth(3)
            .and_then(|n| n.parse().ok());
        let number: u64 = number.ok_or("no message number in it")?;
        let read = parse(&on_one_line(statement.text))?;
        for entry in read.attribute_values_message {
            if let (can_dbc::AttributeValue::String(name), "SystemMessageLongSymbol") =
                (entry.value, entry.name.as_str())
            {
                self.long_names.insert(number, name);
            }
        }
        for entry in read.attribute_values_signal {
            if let (can_dbc::AttributeValue::String(name), "SystemSignalLongSymbol") =
                (entry.value, entry.name.as_str())
            {
                self.each_named(statement, number, &entry.signal_name, |s| {
                    s.long_name = Some(name.clone());
                });
            }
        }
        Ok(())
    }

    /// Does something to every signal of this name in every message of this number.
    fn each_named(
        &mut self,
        statement: &Statement<'_>,
        number: u64,
        signal: &str,
        mut change: impl FnMut(&mut DraftSignal),
    ) {
        let mut found = number == NO_MESSAGE;
        for draft in self.drafts.iter_mut().filter(|d| d.number == number) {
            for named in draft.signals.iter_mut().filter(|s| s.signal.name == signal) {
                found = true;
                change(named);
            }
        }
        if !found {
            let (keyword, signal) = (statement.keyword, signal.to_owned());
            self.warn(
                statement.line,
                WarningKind::Unknown {
                    keyword,
                    message: number,
                    signal,
                },
            );
        }
    }

    fn finish(mut self) -> Dbc {
        let mut messages: Vec<Message> = Vec::new();
        let mut names: HashSet<String> = HashSet::new();
        let mut last_of: HashMap<CanId, u32> = HashMap::new();
        for draft in &self.drafts {
            last_of.insert(draft.id, draft.line);
        }
        for draft in std::mem::take(&mut self.drafts) {
            let mut name = self
                .long_names
                .get(&draft.number)
                .cloned()
                .unwrap_or(draft.name);
            let by = last_of[&draft.id];
            if by != draft.line {
                self.warn(draft.line, WarningKind::MessageAgain { name, by });
                continue;
            }
            if !names.insert(name.clone()) {
                let renamed = format!("{name}@{}", draft.id);
                self.warn(
                    draft.line,
                    WarningKind::MessageName {
                        name,
                        renamed: renamed.clone(),
                    },
                );
                name = renamed;
            }
            let extended = |name: &str| self.extended.get(&(draft.number, name.to_owned()));
            let signals = resolve(draft.signals, extended, &mut self.warnings);
            messages.push(Message {
                id: draft.id,
                name,
                length: draft.length,
                signals,
                line: draft.line,
            });
        }
        self.warnings.sort_by_key(|w| w.line);
        Dbc {
            messages,
            warnings: self.warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Dbc {
        Dbc::parse(text.as_bytes())
    }

    fn said(dbc: &Dbc) -> Vec<String> {
        dbc.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_message() {
        let dbc = read(
            "BO_ 2147484160 A: 8\n SG_ Speed : 7|16@0- (0.390625,-4e1) [0|0] \"km/h\"\n\nVAL_ 2147484160 Speed -1 \"none\" 0 \"a\\\"b\" ;\n",
        );
        assert_eq!(said(&dbc), Vec::<String>::new());
        let message = &dbc.messages[0];
        assert_eq!(
            (message.id.to_string().as_str(), message.length),
            ("00000200", 8)
        );
        let signal = &message.signals[0];
        assert_eq!(
            (signal.scale.to_string(), signal.offset.to_string()),
            ("0.390625".into(), "-40".into())
        );
        assert_eq!(
            (signal.start, signal.length, signal.order, signal.number),
            (7, 16, ByteOrder::Motorola, Number::Signed)
        );
        assert_eq!(
            (signal.unit.as_str(), signal.texts[&-1].as_str()),
            ("km/h", "none")
        );
    }

    #[test]
    fn a_bad_line_is_lost_alone() {
        let dbc = read(concat!(
            "BO_ 1 A: 8 X\n",
            " SG_ Good : 0|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ Bad : 8|8@1+ (1;0) [0|0] \"\" X\n",
            " SG_ Good2 : 16|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ Long : 0|65@1+ (1,0) [0|0] \"\" X\n",
            " SG_ Far : 510|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ Good : 24|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ Over : 60|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ Some : 4|8@1+ (0,0) [0|0] \"\" X\n",
            "BO_ x B: 8 X\n",
            " SG_ Lost : 0|8@1+ (1,0) [0|0] \"\" X\n",
            "BO_ 3 C: 8 X\n",
            "SIG_VALTYPE_ 1 Good : 1;\n",
            "SIG_VALTYPE_ 9 Good : 1;\n",
        ));
        let names: Vec<&str> = dbc.messages[0]
            .signals
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        assert_eq!(names, ["Good2", "Over", "Some"]);
        assert_eq!(dbc.messages.len(), 2);
        let lines: Vec<u32> = dbc.warnings.iter().map(|w| w.line).collect();
        assert_eq!(lines, [2, 3, 5, 6, 7, 8, 9, 10, 14], "{:#?}", said(&dbc));
    }

    #[test]
    fn messages_twice() {
        let dbc = read(
            "BO_ 1 A: 8 X\nBO_ 1 B: 8 X\nBO_ 2 B: 8 X\nBO_ 4096 C: 8 X\nBO_ 5000000000 D: 8 X\nBO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 X\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" X\nBO_ 7 E: 100 X\n",
        );
        let names: Vec<(String, &str)> = dbc
            .messages
            .iter()
            .map(|m| (m.id.to_string(), m.name.as_str()))
            .collect();
        assert_eq!(
            names,
            [
                ("001".into(), "B"),
                ("002".into(), "B@002"),
                ("00001000".into(), "C")
            ]
        );
        assert_eq!(
            dbc.warnings.iter().map(|w| w.line).collect::<Vec<_>>(),
            [1, 3, 5, 8],
            "{:#?}",
            said(&dbc)
        );
    }

    #[test]
    fn multiplexing() {
        let dbc = read(concat!(
            "BO_ 1 A: 8 X\n",
            " SG_ M1 M : 0|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ A m0 : 8|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ A m1 : 8|8@1+ (2,0) [0|0] \"\" X\n",
            " SG_ M2 m2M : 8|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ B m3 : 16|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ C m3 : 20|8@1+ (1,0) [0|0] \"\" X\n",
            "BO_ 2 B: 8 X\n",
            " SG_ D m0 : 8|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ E m0M : 8|8@1+ (1,0) [0|0] \"\" X\n",
            " SG_ F m0M : 8|8@1+ (1,0) [0|0] \"\" X\n",
            "SG_MUL_VAL_ 1 B M2 3-3, 5-7;\n",
            "SG_MUL_VAL_ 1 C M2 8-9;\n",
            "SG_MUL_VAL_ 1 C M2 11-11;\n",
            "SG_MUL_VAL_ 2 E F 0-0;\n",
            "SG_MUL_VAL_ 2 F E 0-0;\n",
        ));
        let [m1, a0, a1, m2, b, c] = dbc.messages[0].signals.as_slice() else {
            panic!("{:#?}", said(&dbc))
        };
        assert!(m1.multiplexor && m1.when.is_none() && m2.multiplexor);
        assert_eq!(a0.when.as_ref().unwrap().ranges, [(0, 0)]);
        assert_eq!(a1.when.as_ref().unwrap().ranges, [(1, 1)]);
        assert_eq!(
            *b.when.as_ref().unwrap(),
            When {
                multiplexor: "M2".into(),
                ranges: vec![(3, 3), (5, 7)]
            }
        );
        assert_eq!(c.when.as_ref().unwrap().ranges, [(8, 9), (11, 11)]);
        assert_eq!(dbc.messages[1].signals, []);
        assert_eq!(
            dbc.warnings.iter().map(|w| w.line).collect::<Vec<_>>(),
            [9, 10, 11],
            "{:#?}",
            said(&dbc)
        );
    }

    #[test]
    fn long_names() {
        let dbc = read(
            "BO_ 1 Short_0000: 8 X\n SG_ Sig_0000 M : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ B m1 : 8|8@1+ (1,0) [0|0] \"\" X\nBA_ \"SystemMessageLongSymbol\" BO_ 1 \"ShortButLonger\";\nBA_ \"SystemSignalLongSymbol\" SG_ 1 Sig_0000 \"SignalButLonger\";\nBA_ \"Other\" SG_ 1 Sig_0000 5;\n",
        );
        let message = &dbc.messages[0];
        assert_eq!(
            (message.name.as_str(), message.signals[0].name.as_str()),
            ("ShortButLonger", "SignalButLonger")
        );
        assert_eq!(
            message.signals[1].when.as_ref().unwrap().multiplexor,
            "SignalButLonger"
        );
        assert_eq!(said(&dbc), Vec::<String>::new());
    }
}
