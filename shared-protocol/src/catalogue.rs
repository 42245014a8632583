//! The catalogue of signals: `signals.toml`, read once. One definition of each signal for edge, cloud,
//! database columns, API and dashboards.

use std::{collections::HashMap, fmt, sync::LazyLock};

use bincode::{Decode, Encode};

use crate::Decimal;

/// Stable number of a signal in the catalogue.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct SignalId(pub u16);

/// How fast a sample has to reach the cloud, and how dear it is when room runs out.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Alarms, charging transactions, answers to commands.
    Critical,
    /// What operations look at now.
    Live,
    /// Everything else.
    Bulk,
}

impl Class {
    /// All classes, dearest first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Live, Self::Bulk];

    /// The word used in topics and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Live => "live",
            Self::Bulk => "bulk",
        }
    }
}

/// Whose name a signal carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standard {
    /// COVESA Vehicle Signal Specification.
    Vss,
    /// OCPP measurand.
    Ocpp,
    /// SunSpec point.
    Sunspec,
    /// The gateway's own metrics.
    Patio,
}

/// One signal of the catalogue.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Stable number.
    pub id: SignalId,
    /// Whose name it carries.
    pub standard: Standard,
    /// The standard's own name.
    pub name: String,
    /// Unit of values; `1` for states and counts.
    pub unit: String,
    /// One step of the stored integer, in the unit.
    pub resolution: Decimal,
    /// Least and greatest value that can be true, in the unit.
    pub range: (Decimal, Decimal),
    /// How fast it has to reach the cloud.
    pub class: Class,
    /// Name of its column in the database.
    pub column: String,
    /// What it is, for people.
    pub about: String,
}

impl Signal {
    /// Least and greatest stored integer: the range in steps of the resolution.
    pub fn raw_range(&self) -> (i64, i64) {
        let steps = |bound: Decimal| {
            Decimal::rescale(
                bound.mantissa(),
                Decimal::new(1, i32::from(bound.exponent())).ok()?,
                Decimal::ZERO,
                self.resolution,
            )
        };
        (
            steps(self.range.0).unwrap_or(i64::MIN),
            steps(self.range.1).unwrap_or(i64::MAX),
        )
    }

    /// Whether a value, given as steps of the resolution, can be true.
    pub fn admits(&self, raw: i64) -> bool {
        let (least, greatest) = self.raw_range();
        (least..=greatest).contains(&raw)
    }
}

/// The signals of the catalogue, by id, name and column.
#[derive(Debug)]
pub struct Catalogue {
    signals: Vec<Signal>,
    by_id: HashMap<SignalId, usize>,
    by_name: HashMap<String, usize>,
}

/// Why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The text is not a catalogue.
    #[error("the catalogue cannot be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    /// Two signals share an id, a name or a column, or one has an impossible range or resolution.
    #[error("signal {id} `{name}`: {what}")]
    Wrong {
        /// Its id.
        id: u16,
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl Catalogue {
    /// Reads a catalogue from its TOML text and checks it.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            signal: Vec<Signal>,
        }
        let signals = toml::from_str::<File>(text)?.signal;
        let mut by_id = HashMap::new();
        let mut by_name = HashMap::new();
        let mut columns = HashMap::new();
        for (index, signal) in signals.iter().enumerate() {
            let wrong = |what| CatalogueError::Wrong {
                id: signal.id.0,
                name: signal.name.clone(),
                what,
            };
            if by_id.insert(signal.id, index).is_some() {
                return Err(wrong("its id is used twice"));
            }
            if by_name.insert(signal.name.clone(), index).is_some() {
                return Err(wrong("its name is used twice"));
            }
            if columns.insert(signal.column.clone(), index).is_some() {
                return Err(wrong("its column is used twice"));
            }
            let identifier = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if signal.column.is_empty()
                || !signal.column.bytes().all(identifier)
                || signal.column.len() > 48
            {
                return Err(wrong("its column must be 1 to 48 of a-z, 0-9 and _"));
            }
            if signal.resolution.mantissa() <= 0 {
                return Err(wrong("its resolution must be positive"));
            }
            if signal.range.0.to_f64() >= signal.range.1.to_f64() {
                return Err(wrong("its range must go from less to more"));
            }
        }
        Ok(Self {
            signals,
            by_id,
            by_name,
        })
    }

    /// All signals in the order of the file.
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// The signal with this id.
    pub fn get(&self, id: SignalId) -> Option<&Signal> {
        self.by_id.get(&id).map(|&index| &self.signals[index])
    }

    /// The signal with this name.
    pub fn by_name(&self, name: &str) -> Option<&Signal> {
        self.by_name.get(name).map(|&index| &self.signals[index])
    }
}

/// The catalogue that this build carries.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        Catalogue::parse(include_str!("../signals.toml"))
            .expect("the shipped catalogue is checked by a test")
    });
    &CATALOGUE
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalogue_is_sound() {
        let catalogue = Catalogue::parse(include_str!("../signals.toml")).unwrap();
        for signal in catalogue.signals() {
            let (least, greatest) = signal.raw_range();
            assert!(
                least > i64::MIN && greatest < i64::MAX && least < greatest,
                "{}",
                signal.name
            );
            assert!(
                signal.admits(least) && signal.admits(greatest) && !signal.admits(greatest + 1),
                "{}",
                signal.name
            );
            assert!(!signal.about.is_empty());
        }
        assert_eq!(catalogue.by_name("Vehicle.Speed").unwrap().column, "speed");
    }

    #[test]
    fn faults_are_named() {
        let one = "[[signal]]\nid = 1\nstandard = \"vss\"\nname = \"A\"\nunit = \"V\"\nresolution = \"0.1\"\nrange = [0, 1]\nclass = \"live\"\ncolumn = \"a\"\nabout = \"x\"\n";
        for (text, says) in [
            (format!("{one}{one}"), "its id is used twice"),
            (one.replace("[0, 1]", "[1, 1]"), "its range must go"),
            (
                one.replace("\"0.1\"", "\"0\""),
                "its resolution must be positive",
            ),
            (one.replace("\"a\"", "\"a; drop\""), "its column must be"),
            (one.replace("unit", "units"), "unknown field"),
        ] {
            let error = Catalogue::parse(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
