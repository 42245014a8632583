//! A parsed file against its schema: every fault, and defaults filled in on the way.

use std::{borrow::Cow, collections::HashSet, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use crate::{
    Fault, Kind, Presence, Schema, Spans,
    fault::clip,
    names::{nearest, place_of, written_key},
    scalar::{found, found_list, scalar},
};

/// Parses a text and checks it; the table has its defaults filled in, and is sound when there are no faults.
pub(crate) fn walk<'i>(
    file: &Path,
    text: &'i str,
    schema: &'static Schema,
) -> (Spanned<DeTable<'i>>, Spans, Vec<Fault>) {
    let (mut root, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk {
        root: schema,
        spans: Spans::new(file, text),
        faults: Vec::new(),
        path: String::new(),
        torn: !errors.is_empty(),
        filling: false,
    };
    walk.table(root.get_mut(), 0..0, schema);
    let Walk {
        spans, mut faults, ..
    } = walk;
    if !errors.is_empty() {
        let torn: Vec<_> = errors
            .iter()
            .map(|error| syntax_fault(&spans, text, error))
            .collect();
        // What stands on a line that could not be read says nothing about its keys.
        let lines: HashSet<_> = torn
            .iter()
            .filter_map(|f| f.position.map(|p| p.line))
            .collect();
        faults.retain(|fault| fault.position.is_none_or(|p| !lines.contains(&p.line)));
        faults.extend(torn);
        faults.sort_by_key(|fault| fault.position);
        faults.dedup();
    }
    (root, spans, faults)
}

/// The faults of one value that stands alone, as texts.
pub(crate) fn value_faults(
    mut value: Spanned<DeValue<'_>>,
    kind: &'static Kind,
    unit: &str,
) -> Vec<String> {
    const ALONE: &Schema = &Schema {
        name: "",
        about: "",
        keys: &[],
    };
    let mut walk = Walk {
        root: ALONE,
        spans: Spans::new(Path::new(""), ""),
        faults: Vec::new(),
        path: String::new(),
        torn: false,
        filling: true,
    };
    walk.value(&mut value, kind, unit);
    let told = |fault: Fault| match fault.hint.as_str() {
        "" => fault.problem,
        hint => format!("{} ({hint})", fault.problem),
    };
    walk.faults.into_iter().map(told).collect()
}

fn syntax_fault(spans: &Spans, text: &str, error: &toml::de::Error) -> Fault {
    let span = error.span().unwrap_or(text.len()..text.len());
    let found = text.get(span.clone()).unwrap_or("");
    let (problem, hint) = match error.message() {
        "duplicate key" => (
            format!("expected each key once, found `{}` again", clip(found)),
            "",
        ),
        message if message.starts_with("string values must be quoted") && found.is_empty() => (
            "expected a value, found none".to_owned(),
            "a text stands in quotes",
        ),
        // The parser takes a bare word for what its first letter could begin: a float, a boolean.
        message if found.starts_with(char::is_alphabetic) && !message.contains("key") => (
            format!("expected a value, found `{}`", clip(found)),
            "a text stands in quotes",
        ),
        message => (format!("not TOML: {message}"), ""),
    };
    Fault {
        position: Some(spans.position_at(span.start)),
        ..Fault::of_file(spans.file_name(), &problem).hint(hint)
    }
}

struct Walk {
    /// The whole file's schema, in which a misplaced key is looked for.
    root: &'static Schema,
    spans: Spans,
    faults: Vec<Fault>,
    /// Key path of the place the walk is at.
    path: String,
    /// Some of the file could not be parsed, so that a key may only seem to be missing.
    torn: bool,
    /// The walk is in a default, whose values stand nowhere in the file.
    filling: bool,
}

impl Walk {
    fn within(&mut self, segment: &str, step: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(segment);
        step(self);
        self.path.truncate(length);
    }

    fn within_key(&mut self, name: &str, step: impl FnOnce(&mut Self)) {
        let name = written_key(name);
        let dot = if self.path.is_empty() { "" } else { "." };
        self.within(&format!("{dot}{name}"), step);
    }

    fn fault(&mut self, span: &Range<usize>, problem: String, hint: String) {
        self.faults.push(Fault {
            file: self.spans.file_name().to_owned(),
            position: Some(self.spans.position_at(span.start)),
            key: self.path.clone(),
            problem,
            hint,
        });
    }

    fn expected(
        &mut self,
        span: &Range<usize>,
        kind: &Kind,
        unit: &str,
        found: &str,
        hint: String,
    ) {
        self.fault(
            span,
            format!("expected {}, found {found}", kind.expected(unit)),
            hint,
        );
    }

    fn table(&mut self, table: &mut DeTable<'_>, span: Range<usize>, schema: &'static Schema) {
        let absent: Vec<_> = schema
            .keys
            .iter()
            .filter(|key| !table.contains_key(key.name))
            .collect();
        let mut meant = Vec::new();
        for (name, value) in table.iter_mut() {
            match schema.key(name.get_ref()) {
                Some(key) => self.within_key(key.name, |walk| {
                    walk.value(value, &key.kind, key.unit);
                    let tables =
                        matches!(key.kind, Kind::Tables(_)) && key.presence == Presence::Required;
                    if tables
                        && value
                            .get_ref()
                            .as_array()
                            .is_some_and(|array| array.is_empty())
                    {
                        walk.fault(
                            &value.span(),
                            "expected at least one table, found none".to_owned(),
                            String::new(),
                        );
                    }
                }),
                None => meant.extend(self.unknown(name, schema)),
            }
        }
        for key in absent {
            match key.presence {
                Presence::Optional => {}
                // It is there under a wrong name, or in a part that could not be read.
                Presence::Required if self.torn || meant.contains(&key.name) => {}
                Presence::Required => self.within_key(key.name, |walk| {
                    let hint = match key.kind {
                        Kind::Table(_) => format!("write {}", walk.header(false)),
                        Kind::Tables(_) => format!("write {}", walk.header(true)),
                        _ => format!("such as {} = {}", key.name, key.example),
                    };
                    walk.expected(&span, &key.kind, key.unit, "none", hint);
                }),
                Presence::Default(default) => {
                    // A sound schema's default parses; `Schema::flaws` tells when it does not.
                    if let Ok(parsed) = DeValue::parse(default) {
                        let mut value = Spanned::new(span.clone(), parsed.into_inner());
                        let outer = std::mem::replace(&mut self.filling, true);
                        self.within_key(key.name, |walk| {
                            walk.value(&mut value, &key.kind, key.unit);
                        });
                        self.filling = outer;
                        table.insert(Spanned::new(span.clone(), Cow::Borrowed(key.name)), value);
                    }
                }
            }
        }
    }

    /// The header of the table that the walk is at, without places in arrays.
    fn header(&self, many: bool) -> String {
        let mut path = String::new();
        let mut inside = false;
        for character in self.path.chars() {
            inside |= character == '[';
            if !inside {
                path.push(character);
            }
            inside &= character != ']';
        }
        if many {
            format!("[[{path}]]")
        } else {
            format!("[{path}]")
        }
    }

    /// Reports an unknown key; returns the known one that was probably meant.
    fn unknown(
        &mut self,
        name: &Spanned<Cow<'_, str>>,
        schema: &'static Schema,
    ) -> Option<&'static str> {
        let names: Vec<_> = schema.keys.iter().map(|key| key.name).collect();
        let near = nearest(name.get_ref(), &names);
        let hint = if let Some(near) = near {
            format!("did you mean `{near}`?")
        } else if let Some(place) = place_of(self.root, name.get_ref()) {
            format!("it belongs {place}")
        } else {
            format!("the keys here are {}", names.join(", "))
        };
        let problem = format!(
            "expected a key of the {}, found `{}`",
            schema.name,
            clip(name.get_ref())
        );
        self.fault(&name.span(), problem, hint);
        near
    }

    fn place(&mut self, span: Range<usize>) {
        if !self.filling {
            self.spans.insert(&self.path, span);
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, kind: &'static Kind, unit: &str) {
        self.place(value.span());
        let span = value.span();
        match (kind, value.get_mut()) {
            (Kind::Table(schema), DeValue::Table(table)) => self.table(table, span, schema),
            (Kind::Tables(schema), DeValue::Array(array)) => {
                self.elements(array, |walk, element| {
                    let span = element.span();
                    if let DeValue::Table(table) = element.get_mut() {
                        walk.place(span.clone());
                        walk.table(table, span, schema);
                    } else {
                        let found = found(element.get_ref());
                        walk.fault(
                            &span,
                            format!("expected a table, found {found}"),
                            String::new(),
                        );
                    }
                });
            }
            (Kind::List { of, min, max }, DeValue::Array(array)) => {
                if !(*min..=*max).contains(&array.len()) {
                    let found = found_list(array.len());
                    self.expected(&span, kind, unit, &found, String::new());
                }
                self.elements(array, |walk, element| walk.value(element, of, unit));
            }
            (Kind::Map(of), DeValue::Table(table)) => {
                for (name, value) in table.iter_mut() {
                    self.within_key(name.get_ref(), |walk| walk.value(value, of, unit));
                }
            }
            (kind, value) => {
                if let Err(mut hint) = scalar(kind, value) {
                    match kind {
                        Kind::Tables(_) => hint = format!("write {}", self.header(true)),
                        Kind::Table(_) => hint = format!("write {} once", self.header(false)),
                        _ => {}
                    }
                    let found = found(value);
                    self.expected(&span, kind, unit, &found, hint);
                }
            }
        }
    }

    fn elements(
        &mut self,
        array: &mut DeArray<'_>,
        mut each: impl FnMut(&mut Self, &mut Spanned<DeValue<'_>>),
    ) {
        for (index, element) in array.iter_mut().enumerate() {
            self.within(&format!("[{index}]"), |walk| each(walk, element));
        }
    }
}
