//! A signal's format.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shared_protocol::Decimal;

use super::{
    NoteKind, catalogue,
    import::{Importer, Names},
    number,
};
use crate::{
    exact,
    profile::{DiagnosticSignal, Order, Outside},
};

/// Bits of the longest answer after service and identifier.
const LONGEST: u64 = (4095 - 3) * 8;

impl Importer {
    pub(super) fn signal(
        &mut self,
        path: &str,
        signal: &Map<String, Value>,
    ) -> Option<DiagnosticSignal> {
        self.unknown_keys(
            path,
            signal,
            &[
                "id",
                "name",
                "hidden",
                "description",
                "fmt",
                "path",
                "suggestedMetric",
            ],
        );
        let Some(name) = signal
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.trim().is_empty())
        else {
            return self.form(&format!("{path}.id"), "a text");
        };
        let path = format!("{path}.fmt");
        let Some(format) = signal.get("fmt").and_then(Value::as_object) else {
            return self.form(&path, "a format");
        };
        let mut imported = self.format(&path, name, format)?;
        if self.names == Names::Catalogue
            && let Some(metric) = signal.get("suggestedMetric").and_then(Value::as_str)
            && !catalogue::map(&mut imported, metric)
        {
            let (metric, unit) = (metric.to_owned(), imported.unit.clone());
            self.note(&path, NoteKind::NotConverted { metric, unit });
        }
        Some(imported)
    }

    fn format(
        &mut self,
        path: &str,
        name: &str,
        format: &Map<String, Value>,
    ) -> Option<DiagnosticSignal> {
        self.unknown_keys(
            path,
            format,
            &[
                "bix", "len", "blsb", "sign", "min", "max", "add", "mul", "div", "unit", "nullmin",
                "nullmax", "omin", "omax", "oval", "map",
            ],
        );
        let Some(length) = format.get("len").and_then(number::whole) else {
            return self.form(&format!("{path}.len"), "a number of bits");
        };
        if !(1..=64).contains(&length) {
            self.note(&format!("{path}.len"), NoteKind::Length(length));
            return None;
        }
        let bit = match format.get("bix") {
            None => 0,
            Some(bit) => match number::whole(bit) {
                Some(bit) => bit,
                None => return self.form(&format!("{path}.bix"), "a bit"),
            },
        };
        if bit > LONGEST - length {
            self.note(&format!("{path}.bix"), NoteKind::Beyond);
            return None;
        }
        let flag = |key: &str| format.get(key).and_then(Value::as_bool).unwrap_or(false);
        // A single byte has no order.
        let little = flag("blsb") && length > 8;
        if little && (bit % 8 != 0 || length % 8 != 0) {
            self.note(&format!("{path}.blsb"), NoteKind::Unaligned);
            return None;
        }
        let mut signal = DiagnosticSignal {
            name: name.to_owned(),
            signal: None,
            unit: format
                .get("unit")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            bit: bit as u32,
            length: length as u8,
            order: if little { Order::Little } else { Order::Big },
            signed: flag("sign"),
            multiply: Decimal::ONE,
            divide: Decimal::ONE,
            add: Decimal::ZERO,
            min: None,
            max: None,
            outside: Outside::Clamp,
            none_up_to: None,
            none_from: None,
            not_available: Vec::new(),
            texts: BTreeMap::new(),
        };
        if let Some(map) = format.get("map") {
            self.texts(&format!("{path}.map"), map, &mut signal)?;
            return Some(signal);
        }
        self.numbers(path, format, &mut signal)?;
        Some(signal)
    }

    /// Codes are unsigned, unscaled and of any value.
    fn texts(&mut self, path: &str, map: &Value, signal: &mut DiagnosticSignal) -> Option<()> {
        (signal.signed, signal.order, signal.outside) = (false, Order::Big, Outside::Drop);
        let entries = map.as_object().into_iter().flatten();
        for (code, entry) in entries {
            let text = entry.get("value").unwrap_or(entry).as_str();
            let raw = code
                .parse::<i64>()
                .ok()
                .filter(|raw| *raw >= 0 && (signal.length == 64 || raw >> signal.length == 0));
            match (raw, text) {
                (Some(raw), Some(text)) => {
                    signal.texts.insert(raw, text.to_owned());
                }
                _ => self.note(
                    &format!("{path}.{code}"),
                    NoteKind::Form {
                        expected: "a code with a text",
                    },
                ),
            }
        }
        if signal.texts.is_empty() {
            self.form(path, "texts of codes")
        } else {
            Some(())
        }
    }

    fn numbers(
        &mut self,
        path: &str,
        format: &Map<String, Value>,
        signal: &mut DiagnosticSignal,
    ) -> Option<()> {
        let mut number = |key: &str| -> Option<Option<Decimal>> {
            let Some(value) = format.get(key) else {
                return Some(None);
            };
            let path = format!("{path}.{key}");
            match number::decimal(value) {
                Some(decimal) => Some(Some(decimal)),
                None => self.form(&path, "a number"),
            }
        };
        signal.multiply = number("mul")?.unwrap_or(Decimal::ONE);
        signal.divide = number("div")?.unwrap_or(Decimal::ONE);
        signal.add = number("add")?.unwrap_or(Decimal::ZERO);
        let min = number("min")?.unwrap_or(Decimal::ZERO);
        let max = number("max")?;
        signal.none_up_to = number("nullmin")?;
        signal.none_from = number("nullmax")?;
        if signal.multiply == Decimal::ZERO || signal.divide == Decimal::ZERO {
            self.note(path, NoteKind::Zero);
            return None;
        }
        if let Some(max) = max.filter(|&max| exact::compare(min, max).is_lt()) {
            (signal.min, signal.max) = (Some(min), Some(max));
        }
        if let (Some(low), Some(high)) = (signal.none_up_to, signal.none_from)
            && exact::compare(low, high).is_ge()
        {
            return self.form(path, "nullmin less than nullmax");
        }
        Some(())
    }
}
