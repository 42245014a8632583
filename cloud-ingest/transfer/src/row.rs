//! A row of a file: one sample. Its columns, and what their texts mean.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use shared_protocol::{Decimal, Encoding, SignalDef, SignalRef, Source, Standard, catalogue};
use telemetry::{layout::SOURCES, samples::Sample};

/// The columns of a file, in their order.
///
/// | column | |
/// |---|---|
/// | `time` | when it was measured: RFC 3339 in CSV, microseconds since 1970 in Parquet |
/// | `asset`, `asset_name` | whose: the number, and the name by which it is recognised |
/// | `source` | the way it was read: can, obd, modbus, ocpp, gateway, teltonika, geotab, json |
/// | `standard` | whose name the signal carries: vss, ocpp, sunspec, patio; empty: the device's own |
/// | `signal`, `unit` | its name, and the unit of `value` |
/// | `value` | the float nearest to the exact value |
/// | `encoding` | scaled: `raw × scale + offset`; unsigned: the same with `raw` read as unsigned; float: `raw` is the bits of an IEEE 754 binary64 |
/// | `scale`, `offset` | exact decimals; empty with float |
/// | `raw` | the integer |
pub const COLUMNS: [&str; 12] = [
    "time",
    "asset",
    "asset_name",
    "source",
    "standard",
    "signal",
    "unit",
    "value",
    "encoding",
    "scale",
    "offset",
    "raw",
];

/// Meanings that are remembered.
const MOST: usize = 100_000;
/// Longest name of an asset, in characters.
const LONGEST_NAME: usize = 1000;

/// A sample as a file has it: its asset is the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) sample: Sample,
    pub(crate) asset_name: Arc<str>,
}

/// What is wrong with one column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) column: &'static str,
    pub(crate) reason: String,
}

pub(crate) fn wrong(column: &'static str, reason: impl Into<String>) -> Wrong {
    Wrong {
        column,
        reason: reason.into(),
    }
}

/// The texts of a row that say what its integer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words<'a> {
    pub(crate) source: &'a str,
    pub(crate) standard: &'a str,
    pub(crate) signal: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) encoding: &'a str,
    pub(crate) scale: &'a str,
    pub(crate) offset: &'a str,
}

/// The word of a standard.
const fn standard_word(standard: Standard) -> &'static str {
    match standard {
        Standard::Vss => "vss",
        Standard::Ocpp => "ocpp",
        Standard::Sunspec => "sunspec",
        Standard::Patio => "patio",
    }
}

/// The texts of a signal: standard, encoding, scale, offset.
pub(crate) fn texts(def: &SignalDef) -> (&'static str, &'static str, String, String) {
    let standard = match &def.signal {
        SignalRef::Catalogue(id) => catalogue()
            .get(*id)
            .map_or("", |signal| standard_word(signal.standard)),
        SignalRef::Named { .. } => "",
    };
    match def.encoding {
        Encoding::Scaled { scale, offset } => {
            (standard, "scaled", scale.to_string(), offset.to_string())
        }
        Encoding::Unsigned { scale, offset } => {
            (standard, "unsigned", scale.to_string(), offset.to_string())
        }
        Encoding::Float => (standard, "float", String::new(), String::new()),
    }
}

/// A float as the shortest text that is read as the same again.
pub(crate) fn float_text(value: f64) -> String {
    if value == 0.0 || (1e-6..1e15).contains(&value.abs()) {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

/// Why `value` is not what the integer says.
pub(crate) fn disagreement(value: f64, def: &SignalDef, raw: i64) -> Option<Wrong> {
    let said = def.encoding.value(raw);
    (value.to_bits() != said.to_bits()).then(|| {
        let (value, said) = (float_text(value), float_text(said));
        wrong(
            "value",
            format!("{value}, but raw, scale and offset say {said}"),
        )
    })
}

/// A time from microseconds since 1970.
pub(crate) fn time_of(us: i64) -> Result<Timestamp, Wrong> {
    Timestamp::from_microsecond(us).map_err(|_| wrong("time", format!("{us} µs is no time")))
}

/// A name of an asset.
pub(crate) fn asset_name(text: &str) -> Result<Arc<str>, Wrong> {
    if text.chars().count() > LONGEST_NAME {
        return Err(wrong(
            "asset_name",
            format!("it is longer than {LONGEST_NAME} characters"),
        ));
    }
    Ok(text.into())
}

/// Remembers what texts mean, so that rows of one signal share its definition.
#[derive(Debug, Default)]
pub(crate) struct Meanings {
    known: HashMap<String, (Source, Arc<SignalDef>)>,
    names: HashMap<String, Arc<str>>,
    key: String,
}

impl Meanings {
    /// What the words of a row mean.
    pub(crate) fn of(&mut self, words: Words<'_>) -> Result<(Source, Arc<SignalDef>), Wrong> {
        self.key.clear();
        for word in [
            words.source,
            words.standard,
            words.signal,
            words.unit,
            words.encoding,
            words.scale,
            words.offset,
        ] {
            self.key.push_str(word);
            self.key.push('\0');
        }
        if let Some((source, def)) = self.known.get(&self.key) {
            return Ok((*source, Arc::clone(def)));
        }
        let (source, def) = meaning(words)?;
        let def = Arc::new(def);
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known
            .insert(self.key.clone(), (source, Arc::clone(&def)));
        Ok((source, def))
    }

    /// A name, shared by all rows that have it.
    pub(crate) fn name(&mut self, text: &str) -> Result<Arc<str>, Wrong> {
        if let Some(name) = self.names.get(text) {
            return Ok(Arc::clone(name));
        }
        let name = asset_name(text)?;
        if self.names.len() >= MOST {
            self.names.clear();
        }
        self.names.insert(text.to_owned(), Arc::clone(&name));
        Ok(name)
    }
}

/// A text that may be wrong in any way, for people.
pub(crate) fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("`{}`", short.escape_debug())
}

fn meaning(words: Words<'_>) -> Result<(Source, SignalDef), Wrong> {
    let source = SOURCES
        .into_iter()
        .find(|source| source.name() == words.source)
        .ok_or_else(|| {
            let known: Vec<&str> = SOURCES.iter().map(|source| source.name()).collect();
            let (found, known) = (shown(words.source), known.join(", "));
            wrong("source", format!("{found} is none of {known}"))
        })?;
    let decimal = |column, text: &str| {
        text.parse::<Decimal>()
            .map_err(|error| wrong(column, error.to_string()))
    };
    let encoding = match words.encoding {
        "float" if words.scale.is_empty() && words.offset.is_empty() => Encoding::Float,
        "float" => return Err(wrong("scale", "a float has neither scale nor offset")),
        "scaled" => Encoding::Scaled {
            scale: decimal("scale", words.scale)?,
            offset: decimal("offset", words.offset)?,
        },
        "unsigned" => Encoding::Unsigned {
            scale: decimal("scale", words.scale)?,
            offset: decimal("offset", words.offset)?,
        },
        other => {
            let found = shown(other);
            return Err(wrong(
                "encoding",
                format!("{found} is none of scaled, unsigned, float"),
            ));
        }
    };
    let signal = if words.standard.is_empty() {
        SignalRef::Named {
            name: words.signal.to_owned(),
            unit: words.unit.to_owned(),
        }
    } else {
        let known = catalogue()
            .by_name(words.signal)
            .filter(|known| standard_word(known.standard) == words.standard)
            .ok_or_else(|| {
                let (signal, standard) = (shown(words.signal), shown(words.standard));
                wrong(
                    "signal",
                    format!("the catalogue has no {signal} of {standard}"),
                )
            })?;
        if known.unit != words.unit {
            let (unit, found) = (&known.unit, shown(words.unit));
            return Err(wrong(
                "unit",
                format!("{} is given in {unit}, not in {found}", known.name),
            ));
        }
        SignalRef::Catalogue(known.id)
    };
    Ok((source, SignalDef { signal, encoding }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn floats_are_read_as_they_were_written(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let read: f64 = float_text(value).parse().unwrap();
            prop_assert_eq!(read.to_bits(), bits);
        }
    }

    #[test]
    fn every_signal_of_the_catalogue_is_found_by_its_texts() {
        for signal in catalogue().signals() {
            let def = SignalDef {
                signal: SignalRef::Catalogue(signal.id),
                encoding: Encoding::Scaled {
                    scale: signal.resolution,
                    offset: Decimal::ZERO,
                },
            };
            let (standard, encoding, scale, offset) = texts(&def);
            let words = Words {
                source: "can",
                standard,
                signal: &signal.name,
                unit: &signal.unit,
                encoding,
                scale: &scale,
                offset: &offset,
            };
            assert_eq!(meaning(words), Ok((Source::Can, def)));
            let elsewhere = Words {
                unit: "furlong",
                ..words
            };
            assert_eq!(meaning(elsewhere).unwrap_err().column, "unit");
        }
    }
}
