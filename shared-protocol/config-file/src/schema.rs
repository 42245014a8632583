//! The description of a file's keys as data.

use std::{collections::HashSet, time::Duration};

use toml::de::DeValue;

use crate::{amount, walk};

/// The keys of a file, or of one table in it.
#[derive(Debug)]
pub struct Schema {
    /// What the file or table is called by people (`gateway configuration`).
    pub name: &'static str,
    /// What it is for, in a sentence or two.
    pub about: &'static str,
    /// Its keys, in the order in which people should meet them.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// Whether it must be there.
    pub presence: Presence,
    /// Unit of a number (`A`, `V`), or empty.
    pub unit: &'static str,
    /// A value as TOML writes it (`"gw-1"`, `32`); empty for tables, whose keys have their own.
    pub example: &'static str,
    /// What it means, in a sentence.
    pub about: &'static str,
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A file without it is wrong.
    Required,
    /// It may be absent; the reader's field is an `Option`.
    Optional,
    /// When absent, it is this value as TOML writes it.
    Default(&'static str),
}

/// What a value must be.
#[derive(Debug)]
pub enum Kind {
    /// Text that is not empty and has no control characters.
    Text,
    /// Path of a file or folder; a relative one starts at the folder of the file it stands in.
    Path,
    /// Whole number within bounds, both included.
    Integer {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// Number within bounds, both included; never infinite, never NaN.
    Number {
        /// Least.
        min: f64,
        /// Greatest.
        max: f64,
    },
    /// Exact decimal number: a number, or a text such as `"0.1"` or `"1e-3"`.
    Decimal,
    /// `true` or `false`.
    Bool,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// Time span as text: whole number and one of `us ms s min h d`.
    Duration {
        /// Least.
        min: Duration,
        /// Greatest.
        max: Duration,
    },
    /// Amount of data as text: whole number and one of `B kB MB GB TB KiB MiB GiB TiB`.
    Bytes {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
    },
    /// Text of a form of its own.
    Syntax(Syntax),
    /// A value of any of these kinds, none of which holds others.
    AnyOf(&'static [Kind]),
    /// Array of values of one kind.
    List {
        /// Kind of each.
        of: &'static Kind,
        /// Least number of values.
        min: usize,
        /// Greatest number of values.
        max: usize,
    },
    /// Table whose key names are the writer's own, with values of one kind.
    Map(&'static Kind),
    /// Table `[key]`.
    Table(&'static Schema),
    /// Array of tables `[[key]]`.
    Tables(&'static Schema),
}

/// A text of a form of its own.
#[derive(Clone, Copy, Debug)]
pub struct Syntax {
    /// The form, put after the word *expected* (`a broker such as "mqtt://host:1883"`).
    pub form: &'static str,
    /// Tells why a text does not have the form.
    pub check: fn(&str) -> Result<(), String>,
}

impl Key {
    /// A key that must be there.
    pub const fn required(
        name: &'static str,
        kind: Kind,
        example: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            presence: Presence::Required,
            unit: "",
            example,
            about,
        }
    }

    /// A key that may be absent.
    pub const fn optional(
        name: &'static str,
        kind: Kind,
        example: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            presence: Presence::Optional,
            unit: "",
            example,
            about,
        }
    }

    /// A key with a default, both default and example as TOML writes them.
    pub const fn with_default(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        example: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            presence: Presence::Default(default),
            unit: "",
            example,
            about,
        }
    }

    /// A table that must be there.
    pub const fn table(name: &'static str, schema: &'static Schema, about: &'static str) -> Self {
        Self::required(name, Kind::Table(schema), "", about)
    }

    /// An array of tables that may be absent, which reads as an empty one.
    pub const fn tables(name: &'static str, schema: &'static Schema, about: &'static str) -> Self {
        Self::with_default(name, Kind::Tables(schema), "[]", "", about)
    }

    /// The same key with its presence replaced.
    #[must_use]
    pub const fn presence(mut self, presence: Presence) -> Self {
        self.presence = presence;
        self
    }

    /// The same key with its values in a unit.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }
}

impl Kind {
    /// Any whole number.
    pub const INTEGER: Self = Self::Integer {
        min: i64::MIN,
        max: i64::MAX,
    };
    /// Any finite number.
    pub const NUMBER: Self = Self::Number {
        min: f64::MIN,
        max: f64::MAX,
    };

    /// A list of at least one value.
    pub const fn list(of: &'static Kind) -> Self {
        Self::List {
            of,
            min: 1,
            max: usize::MAX,
        }
    }

    /// What a value of this kind is, to be put after the word *expected*.
    pub fn expected(&self, unit: &str) -> String {
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!(" {unit}")
        };
        match self {
            Self::Text => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Integer { min, max } => {
                let low = (*min != i64::MIN).then(|| min.to_string());
                let high = (*max != i64::MAX).then(|| max.to_string());
                format!("an integer{}", bounds(low, high, &unit))
            }
            Self::Number { min, max } => {
                let low = (*min > f64::MIN).then(|| min.to_string());
                let high = (*max < f64::MAX).then(|| max.to_string());
                format!("a number{}", bounds(low, high, &unit))
            }
            Self::Decimal => "a decimal number of at most 18 digits such as \"0.1\"".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Choice(choices) => {
                let quoted: Vec<_> = choices
                    .iter()
                    .map(|choice| format!("\"{choice}\""))
                    .collect();
                if quoted.len() == 1 {
                    quoted.concat()
                } else {
                    format!("one of {}", quoted.join(", "))
                }
            }
            Self::Duration { min, max } => format!(
                "a duration from \"{}\" to \"{}\"",
                amount::duration_text(*min),
                amount::duration_text(*max)
            ),
            Self::Bytes { min, max } => format!(
                "an amount of bytes from \"{}\" to \"{}\"",
                amount::bytes_text(*min),
                amount::bytes_text(*max)
            ),
            Self::Syntax(syntax) => syntax.form.to_owned(),
            Self::AnyOf(kinds) => {
                let each: Vec<_> = kinds.iter().map(|kind| kind.expected("")).collect();
                format!("{}{unit}", each.join(" or "))
            }
            Self::List { of, min, max } => {
                let inner = of.expected("");
                match (min, max) {
                    (0, &usize::MAX) => format!("a list, each value {inner}"),
                    (min, &usize::MAX) => format!("a list of at least {min}, each value {inner}"),
                    (min, max) if min == max => format!("a list of {min}, each value {inner}"),
                    (min, max) => format!("a list of {min} to {max}, each value {inner}"),
                }
            }
            Self::Map(kind) => format!("a table, each value {}", kind.expected("")),
            Self::Table(_) => "a table".to_owned(),
            Self::Tables(_) => "an array of tables".to_owned(),
        }
    }
}

fn bounds(low: Option<String>, high: Option<String>, unit: &str) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!(" from {low} to {high}{unit}"),
        (Some(low), None) => format!(" of at least {low}{unit}"),
        (None, Some(high)) => format!(" of at most {high}{unit}"),
        (None, None) if unit.is_empty() => String::new(),
        (None, None) => format!(" in{unit}"),
    }
}

impl Schema {
    /// The key with this name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// What is wrong with the description itself, for a test in the crate that owns it: a name used twice, a
    /// key without example or explanation, an example or default that its own kind refuses, a default that
    /// differs from nothing. Empty when it is sound.
    pub fn flaws(&'static self) -> Vec<String> {
        let mut flaws = Vec::new();
        self.collect_flaws(self.name, &mut flaws);
        flaws
    }

    fn collect_flaws(&'static self, at: &str, flaws: &mut Vec<String>) {
        if self.about.is_empty() {
            flaws.push(format!("{at}: it is not explained"));
        }
        let mut names = HashSet::new();
        for key in self.keys {
            let at = format!("{at}.{}", key.name);
            if !names.insert(key.name) {
                flaws.push(format!("{at}: the name is used twice"));
            }
            if key.about.is_empty() {
                flaws.push(format!("{at}: it is not explained"));
            }
            match (&key.kind, key.example) {
                (Kind::Table(inner) | Kind::Tables(inner), "") => inner.collect_flaws(&at, flaws),
                (Kind::Table(_) | Kind::Tables(_), _) => {
                    flaws.push(format!(
                        "{at}: a table's example are the examples of its keys"
                    ));
                }
                (kind, example) => value_flaws(kind, "example", example, &at, flaws),
            }
            if let Presence::Default(default) = key.presence {
                value_flaws(&key.kind, "default", default, &at, flaws);
            }
        }
    }
}

fn value_flaws(
    kind: &'static Kind,
    what: &str,
    text: &'static str,
    at: &str,
    flaws: &mut Vec<String>,
) {
    if text.is_empty() {
        flaws.push(format!("{at}: it has no {what}"));
        return;
    }
    match DeValue::parse(text) {
        Ok(value) => {
            let faults = walk::value_faults(value, kind, "");
            flaws.extend(
                faults
                    .into_iter()
                    .map(|fault| format!("{at}: its {what}: {fault}")),
            );
        }
        Err(error) => flaws.push(format!("{at}: its {what} is not TOML: {}", error.message())),
    }
}
