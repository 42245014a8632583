//! What comes out of a cycle, and what can be wrong with a unit.

use tokio::time::Instant;
use tokio_modbus::ExceptionCode;

use crate::{
    decode::{PointError, Reading},
    device::{Device, Place, ResolvedSetting},
    fault::Fault,
    setting::SettingError,
};

/// One reading of one unit.
#[derive(Clone, Debug)]
pub struct Cycle {
    /// Which unit: the number that [`crate::Bus::add`] gave.
    pub unit: usize,
    /// When it began: no value of it was read earlier.
    pub started: Instant,
    /// What the unit's identity register said when it was last compared, if it was what it has to be.
    pub identity: Option<String>,
    /// Values, each proved to be this unit's answer to this cycle's request.
    pub readings: Vec<Reading>,
    /// What went wrong; readings that are missing have their reason here.
    pub errors: Vec<UnitError>,
}

/// What is wrong with a unit, a request or a point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No answer that could be trusted.
    #[error("{place:?}: {fault}")]
    Fault {
        /// What was asked for.
        place: Place,
        /// Why there is no answer.
        fault: Fault,
    },
    /// The device refused the request.
    #[error("{place:?}: the device answers with exception {}: {code}", u8::from(*code))]
    Exception {
        /// What was asked for.
        place: Place,
        /// The device's reason (V1.1b3 §7).
        code: ExceptionCode,
    },
    /// The registers were read, but do not hold a value.
    #[error("point {point}: {error}")]
    Point {
        /// Index of the point in the map.
        point: usize,
        /// Why.
        error: PointError,
    },
    /// It is another device than before, or than configured.
    #[error(
        "the identity register says `{found}` instead of `{expected}`: the device was exchanged, or has another's address"
    )]
    Identity {
        /// Configured or learnt.
        expected: String,
        /// Read.
        found: String,
    },
    /// The map is not for this device.
    #[error("{about} is {found}: the map is for another device")]
    Guard {
        /// The map's word for the register.
        about: String,
        /// What stands there.
        found: String,
    },
    /// The line is not open.
    #[error("the line is down: {says}")]
    LineDown {
        /// Why.
        says: String,
    },
    /// The request cannot be made.
    #[error("impossible request: {says}")]
    Impossible {
        /// Why.
        says: String,
    },
}

/// Why a unit cannot be added to a bus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// Not an address of a unit on a serial line.
    #[error("unit address {found}: a serial line has units 1 to 247")]
    Address {
        /// What was given.
        found: u8,
    },
    /// The address is taken.
    #[error("unit address {address} is used twice on this line")]
    Twice {
        /// Which.
        address: u8,
    },
    /// A late answer could not be told from the right one.
    #[error(
        "the map of {model} leaves no read whose answer differs in length from all others: \
         give it an `identity`, or one more point, so that a late answer on a serial line can be recognised"
    )]
    NoSync {
        /// The model.
        model: String,
    },
}

/// A setting of a charger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingName {
    /// Largest current per phase, in A.
    CurrentLimit,
    /// Current per phase after the watchdog has run out, in A.
    FailSafeCurrent,
    /// Time the charger waits for the next write, in s.
    Watchdog,
}

impl SettingName {
    /// The setting of a device, if its map has it.
    pub fn of(self, device: &Device) -> Option<&ResolvedSetting> {
        let control = device.control()?;
        match self {
            Self::CurrentLimit => Some(&control.current_limit),
            Self::FailSafeCurrent => control.fail_safe_current.as_ref(),
            Self::Watchdog => control.watchdog.as_ref(),
        }
    }
}

/// Why a setting was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The unit or its map does not have it.
    #[error("there is no such unit, or its map has no {name:?}")]
    NoSuchSetting {
        /// What was to be written.
        name: SettingName,
    },
    /// The value is not possible; nothing was sent.
    #[error(transparent)]
    Value(#[from] SettingError),
    /// The unit did not confirm.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The unit confirmed, but something else stands in the register.
    #[error(
        "{found:?} is read back where {written:?} should stand: the charger limits or refuses the value"
    )]
    NotKept {
        /// What should stand there now.
        written: Vec<u16>,
        /// What was read back.
        found: Vec<u16>,
    },
}
