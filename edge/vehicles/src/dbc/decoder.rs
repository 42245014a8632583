//! Frames into readings.

use std::{collections::BTreeMap, ops::Range};

use isotp::CanId;
use shared_protocol::SignalDef;

use super::field::{Bits, FRAME, Window, signed};
use crate::Reading;

/// A DBC file compiled for decoding. It holds no state: the same frame always gives the same readings.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Plan of each 11-bit identifier; [`NOBODY`] where there is none.
    pub(super) standard: Box<[u32]>,
    /// Plan of each 29-bit identifier, sorted.
    pub(super) extended: Vec<(u32, u32)>,
    /// Every plan begins at a group; the plan's number is the group's.
    pub(super) groups: Vec<Group>,
    pub(super) fields: Vec<Field>,
    pub(super) switches: Vec<Switch>,
    pub(super) cases: Vec<Case>,
    pub(super) formulas: Vec<Formula>,
    pub(super) not_available: Vec<i64>,
    pub(super) signals: Vec<DbcSignal>,
}

/// A signal as the decoder produces it; [`Reading::signal`] is its place in [`Decoder::signals`].
#[derive(Clone, Debug, PartialEq)]
pub struct DbcSignal {
    /// Name of its message.
    pub message: String,
    /// Its own name in the file.
    pub name: String,
    /// Identifier of the message's frames.
    pub id: CanId,
    /// What its raw integers are: a signal of the catalogue if the mapping says so, else named `Message.Signal`.
    pub def: SignalDef,
    /// Texts of raw values.
    pub texts: BTreeMap<i64, String>,
}

/// What became of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the file has a message with this identifier.
    pub known: bool,
    /// Readings put out.
    pub readings: u32,
    /// Signals that should be in this frame, but it is too short. Signals below a missing multiplexor are not counted.
    pub missing: u32,
    /// Signals whose raw value means that there is no value.
    pub not_available: u32,
}

/// No message.
pub(super) const NOBODY: u32 = u32::MAX;

/// Signals that are in a frame together.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) fields: Range<u32>,
    pub(super) switches: Range<u32>,
}

/// A multiplexor: its raw value selects further groups. Groups below it have greater numbers, so that following them
/// ends; the file's reader bounds how deep they go.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    pub(super) bits: Bits,
    pub(super) signed: bool,
    pub(super) cases: Range<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) group: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) bits: Bits,
    pub(super) kind: Kind,
    pub(super) signal: u32,
    /// Raw values that mean *no value*.
    pub(super) not_available: Range<u32>,
}

/// How bits become a raw integer; formulas are for signals whose encoding is a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned,
    Signed,
    UnsignedFormula(u32),
    SignedFormula(u32),
    Binary32(u32),
    Binary64(u32),
}

/// `value × scale + offset` in floats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Formula {
    pub(super) scale: f64,
    pub(super) offset: f64,
}

impl Decoder {
    /// All signals this decoder can produce.
    pub fn signals(&self) -> &[DbcSignal] {
        &self.signals
    }

    /// Whether frames of this identifier carry signals: what a receive filter needs.
    pub fn knows(&self, id: CanId) -> bool {
        self.plan(id) != NOBODY
    }

    /// Every identifier of which frames carry signals.
    pub fn ids(&self) -> impl Iterator<Item = CanId> {
        let standard = self
            .standard
            .iter()
            .enumerate()
            .filter(|(_, plan)| **plan != NOBODY);
        let standard = standard.filter_map(|(raw, _)| CanId::standard(raw as u32).ok());
        standard.chain(
            self.extended
                .iter()
                .filter_map(|&(raw, _)| CanId::extended(raw).ok()),
        )
    }

    /// Decodes a data frame and appends its readings to `out`, each signal at most once. `data` beyond 64 bytes is not
    /// looked at. A signal that the frame is too short for is missing; the others are not affected.
    pub fn decode(&self, id: CanId, data: &[u8], out: &mut Vec<Reading>) -> Outcome {
        let plan = self.plan(id);
        if plan == NOBODY {
            return Outcome::default();
        }
        let mut window: Window = [0; FRAME + 16];
        let length = data.len().min(FRAME);
        window[..length].copy_from_slice(&data[..length]);
        let mut outcome = Outcome {
            known: true,
            ..Outcome::default()
        };
        let before = out.len();
        self.group(plan, &window, length as u8, out, &mut outcome);
        outcome.readings = (out.len() - before) as u32;
        outcome
    }

    fn plan(&self, id: CanId) -> u32 {
        if id.is_extended() {
            let found = self
                .extended
                .binary_search_by_key(&id.raw(), |&(raw, _)| raw);
            found.map_or(NOBODY, |at| self.extended[at].1)
        } else {
            self.standard
                .get(id.raw() as usize)
                .copied()
                .unwrap_or(NOBODY)
        }
    }

    fn group(
        &self,
        group: u32,
        window: &Window,
        length: u8,
        out: &mut Vec<Reading>,
        outcome: &mut Outcome,
    ) {
        let group = &self.groups[group as usize];
        for field in &self.fields[as_usize(&group.fields)] {
            if field.bits.needs > length {
                outcome.missing += 1;
                continue;
            }
            let raw = self.raw(field, window);
            if !field.not_available.is_empty()
                && self.not_available[as_usize(&field.not_available)].contains(&code(field, window))
            {
                outcome.not_available += 1;
                continue;
            }
            out.push(Reading {
                signal: field.signal,
                raw,
            });
        }
        for switch in &self.switches[as_usize(&group.switches)] {
            // A missing multiplexor was counted as the field that it is, too.
            if switch.bits.needs > length {
                continue;
            }
            let selector = switch.bits.take(window);
            if switch.signed && signed(selector, switch.bits.length) < 0 {
                continue;
            }
            for case in &self.cases[as_usize(&switch.cases)] {
                if (case.low..=case.high).contains(&selector) {
                    self.group(case.group, window, length, out, outcome);
                }
            }
        }
    }

    #[inline]
    fn raw(&self, field: &Field, window: &Window) -> i64 {
        let bits = field.bits.take(window);
        match field.kind {
            Kind::Unsigned => bits.cast_signed(),
            Kind::Signed => signed(bits, field.bits.length),
            Kind::UnsignedFormula(formula) => self.compute(formula, bits as f64),
            Kind::SignedFormula(formula) => {
                self.compute(formula, signed(bits, field.bits.length) as f64)
            }
            Kind::Binary32(formula) => {
                self.compute(formula, f64::from(f32::from_bits(bits as u32)))
            }
            Kind::Binary64(formula) => self.compute(formula, f64::from_bits(bits)),
        }
    }

    fn compute(&self, formula: u32, value: f64) -> i64 {
        let Formula { scale, offset } = self.formulas[formula as usize];
        (value * scale + offset).to_bits().cast_signed()
    }
}

fn as_usize(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// The integer of the frame, to which the codes for *no value* refer.
fn code(field: &Field, window: &Window) -> i64 {
    let bits = field.bits.take(window);
    match field.kind {
        Kind::Signed | Kind::SignedFormula(_) => signed(bits, field.bits.length),
        _ => bits.cast_signed(),
    }
}
