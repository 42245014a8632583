//! A device map that has been checked: every point has its place, its layout and its encoding.

use std::time::Duration;

use shared_protocol::{Decimal, SignalDef};

use crate::map::{Bits, DeviceMap, Order, Problem, RegisterType, Sign, Table, Write};

/// Some registers, or some coils or discrete inputs, by their protocol address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Table.
    pub table: Table,
    /// Protocol address of the first, counted from 0.
    pub address: u16,
    /// How many.
    pub count: u16,
}

impl Place {
    /// The address after the last.
    pub fn end(self) -> u32 {
        u32::from(self.address) + u32::from(self.count)
    }

    /// Whether all of `other` lies within.
    pub fn covers(self, other: Self) -> bool {
        self.table == other.table && self.address <= other.address && other.end() <= self.end()
    }

    /// Whether they share a register.
    pub fn overlaps(self, other: Self) -> bool {
        self.table == other.table
            && u32::from(self.address) < other.end()
            && u32::from(other.address) < self.end()
    }
}

/// How a value is written in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Type.
    pub register_type: RegisterType,
    /// Order of registers.
    pub word_order: Order,
    /// Order of bytes in a register.
    pub byte_order: Order,
}

/// How the number in the registers becomes the stored integer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rule {
    /// The number itself.
    Integer,
    /// The number times scale plus offset, in steps of the resolution; with a SunSpec scale factor when there is one.
    Steps {
        scale: Decimal,
        offset: Decimal,
        resolution: Decimal,
        factor: Option<Place>,
    },
    /// The bits of the float as binary64.
    FloatBits,
    /// A number of the table.
    States(Vec<(i64, i64)>),
}

/// The least and greatest value that can be true, in steps of a resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) resolution: Decimal,
    pub(crate) least: i64,
    pub(crate) greatest: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResolvedPoint {
    pub(crate) place: Place,
    pub(crate) layout: Layout,
    pub(crate) sign: Sign,
    pub(crate) bits: Option<Bits>,
    pub(crate) invalid: Vec<u64>,
    pub(crate) rule: Rule,
    pub(crate) range: Option<Range>,
    pub(crate) interval: Duration,
    pub(crate) def: SignalDef,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResolvedGuard {
    pub(crate) place: Place,
    pub(crate) layout: Layout,
    pub(crate) values: Vec<i64>,
    pub(crate) about: String,
}

/// A setting with its place: what to write, and within which bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedSetting {
    pub(crate) place: Place,
    pub(crate) layout: Layout,
    /// Where it is read, and how it is written there: the same if the map says nothing else.
    pub(crate) back: (Place, Layout),
    pub(crate) scale: Decimal,
    pub(crate) min: Decimal,
    pub(crate) max: Decimal,
    pub(crate) off: Option<Decimal>,
    pub(crate) write: Write,
}

/// The settings of a charger.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedControl {
    /// Largest current per phase, in A.
    pub current_limit: ResolvedSetting,
    /// Current the charger falls back to, in A.
    pub fail_safe_current: Option<ResolvedSetting>,
    /// Time after which it falls back, in s.
    pub watchdog: Option<ResolvedSetting>,
}

impl ResolvedControl {
    /// All settings.
    pub fn settings(&self) -> impl Iterator<Item = &ResolvedSetting> {
        [
            Some(&self.current_limit),
            self.fail_safe_current.as_ref(),
            self.watchdog.as_ref(),
        ]
        .into_iter()
        .flatten()
    }
}

/// A device map that can be read by.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub(crate) map: DeviceMap,
    pub(crate) points: Vec<ResolvedPoint>,
    pub(crate) identity: Option<(Place, Layout)>,
    pub(crate) guards: Vec<ResolvedGuard>,
    pub(crate) holes: Vec<Place>,
    pub(crate) control: Option<ResolvedControl>,
}

impl Device {
    /// Checks a map; all that is wrong with it when something is.
    pub fn new(map: DeviceMap) -> Result<Self, Vec<Problem>> {
        crate::map::resolve(map)
    }

    /// The map as it was written.
    pub fn map(&self) -> &DeviceMap {
        &self.map
    }

    /// What the readings of point `point` (its index in [`DeviceMap::points`]) are.
    pub fn signal_def(&self, point: usize) -> Option<&SignalDef> {
        self.points.get(point).map(|p| &p.def)
    }

    /// How charging is limited.
    pub fn control(&self) -> Option<&ResolvedControl> {
        self.control.as_ref()
    }
}
