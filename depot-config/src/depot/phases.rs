//! The phase conductors that a circuit or station is wired to.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A phase conductor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// First.
    L1,
    /// Second.
    L2,
    /// Third.
    L3,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::L1, Self::L2, Self::L3];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
        })
    }
}

/// One to three different phase conductors, in the order in which they are connected: a single-phase vehicle at a
/// station on `L2-L3-L1` draws from L2.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Phases(Vec<Phase>);

impl Phases {
    /// Every text that names phases.
    pub const TEXTS: &'static [&'static str] = &[
        "L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1", "L2-L1", "L3-L2", "L1-L3", "L1-L2-L3",
        "L2-L3-L1", "L3-L1-L2", "L1-L3-L2", "L3-L2-L1", "L2-L1-L3",
    ];

    /// The phases in the order in which they are connected.
    pub fn as_slice(&self) -> &[Phase] {
        &self.0
    }

    /// Whether this phase is among them.
    pub fn contains(&self, phase: Phase) -> bool {
        self.0.contains(&phase)
    }

    /// Whether all of them are among those of another.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|phase| other.contains(*phase))
    }
}

impl TryFrom<String> for Phases {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if !Self::TEXTS.contains(&text.as_str()) {
            return Err(format!("`{text}` does not name phases such as L1-L2"));
        }
        let phases = text.split('-').map(|name| match name {
            "L1" => Phase::L1,
            "L2" => Phase::L2,
            _ => Phase::L3,
        });
        Ok(Self(phases.collect()))
    }
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(Phase::to_string).collect();
        f.write_str(&names.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_and_written() {
        for text in Phases::TEXTS {
            let phases = Phases::try_from((*text).to_owned()).expect(text);
            assert_eq!(phases.to_string(), *text);
        }
        for text in ["", "L4", "L1-L1", "L1L2", "L1-L2-L3-L1"] {
            assert!(Phases::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
