//! One unit of a bus: its plan, what is known of its answers, and whether it is the device it should be.

use std::sync::Arc;

use crate::{
    cycle::UnitError,
    decode::identity_text,
    device::{Device, Layout, Place, ResolvedGuard},
    plan::Plan,
    trust::Trust,
};

/// So many cycles in a row another identity has to be read before it is taken over, when none was configured.
pub const STRANGER_CYCLES: u32 = 3;

#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) address: u8,
    pub(crate) device: Arc<Device>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) trust: Trust,
    pub(crate) checks: Checks,
}

/// The registers that say whether this is the right device.
#[derive(Debug)]
pub(crate) struct Checks {
    identity: Option<(Place, Layout)>,
    guards: Vec<ResolvedGuard>,
    places: Vec<Place>,
    expected: Option<String>,
    is_configured: bool,
    is_proved: bool,
    stranger: Option<(String, u32)>,
}

impl Checks {
    pub(crate) fn new(device: &Device, expected: Option<String>) -> Self {
        let identity = device.identity;
        let mut places: Vec<Place> = identity.iter().map(|(place, _)| *place).collect();
        places.extend(device.guards.iter().map(|guard| guard.place));
        Self {
            identity,
            guards: device.guards.clone(),
            places,
            is_configured: expected.is_some(),
            is_proved: false,
            expected,
            stranger: None,
        }
    }

    /// The places to read and compare.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The identity, when the unit last said it as it should.
    pub(crate) fn identity(&self) -> Option<&str> {
        self.expected.as_deref().filter(|_| self.is_proved)
    }

    /// Compares what was read at a place with what must stand there.
    pub(crate) fn compare(&mut self, place: Place, words: &[u16]) -> Result<(), UnitError> {
        for guard in self.guards.iter().filter(|guard| guard.place == place) {
            let found = text(&guard.about, guard.layout, words)?;
            if !guard.values.iter().any(|value| value.to_string() == found) {
                return Err(UnitError::Guard {
                    about: guard.about.clone(),
                    found,
                });
            }
        }
        match self.identity {
            Some((at, layout)) if at == place => {
                self.is_proved = false;
                self.compare_identity(text("the identity register", layout, words)?)?;
                self.is_proved = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn compare_identity(&mut self, found: String) -> Result<(), UnitError> {
        let Some(expected) = self.expected.clone() else {
            self.expected = Some(found);
            return Ok(());
        };
        if found == expected {
            self.stranger = None;
            return Ok(());
        }
        let times = match self.stranger.take() {
            Some((before, times)) if before == found => times + 1,
            _ => 1,
        };
        if !self.is_configured && times >= STRANGER_CYCLES {
            self.expected = Some(found);
            return Ok(());
        }
        self.stranger = Some((found.clone(), times));
        Err(UnitError::Identity { expected, found })
    }
}

fn text(about: &str, layout: Layout, words: &[u16]) -> Result<String, UnitError> {
    identity_text(layout, words).map_err(|error| UnitError::Guard {
        about: about.to_owned(),
        found: error.to_string(),
    })
}
