//! What the law's diagnostics say beside: answers of service 01 that were recorded, because somebody asked while recording.

use isotp::CanId;

use crate::{
    quantity::{Quantity, Standard},
    rank::{Candidate, SKEW_US},
    recording::Recording,
};

/// What a standard PID says of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It goes with it: more confidence.
    Agrees,
    /// It does not: less.
    Disagrees,
}

/// That in words, to be put behind a confidence; empty where nothing was said.
pub fn remark(quantity: &Quantity, word: Option<Word>) -> String {
    let (Some(standard), Some(word)) = (&quantity.standard, word) else {
        return String::new();
    };
    let says = match word {
        Word::Agrees => "agrees: confidence is higher",
        Word::Disagrees => "disagrees: confidence is lower",
    };
    format!("; PID {:02X} {says}", standard.pid)
}

/// Instants that are needed to tell.
const NEEDED: usize = 5;
/// Part of them that must be right: answers and frames are not of the same instant.
const RIGHT: f64 = 0.9;

/// Whether frames with this identifier belong to diagnostics (ISO 15765-4, ISO 15765-2 normal fixed addressing): they are no
/// broadcast, and mean what was asked last.
pub(crate) fn is_diagnostic(id: CanId) -> bool {
    if id.is_extended() {
        matches!(id.raw() >> 16, 0x18DA | 0x18DB)
    } else {
        matches!(id.raw(), 0x7DF..=0x7EF)
    }
}

/// What was answered, with its instants: single frames alone, which all these PIDs fit into.
pub(crate) fn said(recording: &Recording, standard: &Standard) -> Vec<(u64, f64)> {
    let mut said = Vec::new();
    for id in recording.ids().filter(|id| is_diagnostic(*id)) {
        for (time, bytes) in recording.frames(id) {
            let bytes = bytes.to_le_bytes();
            let [length, 0x41, pid, ..] = bytes else {
                continue;
            };
            if pid == standard.pid && usize::from(length) == 2 + standard.length {
                let raw = bytes[3..3 + standard.length].iter();
                let raw = raw.fold(0u64, |raw, byte| raw << 8 | u64::from(*byte));
                said.push((*time, raw as f64 * standard.factor));
            }
        }
    }
    said.sort_by_key(|(time, _)| *time);
    said
}

/// Compares a candidate with what was said; `None` if that does not tell.
pub(crate) fn judge(
    candidate: &Candidate,
    frames: &[(u64, u64)],
    standard: &Standard,
    said: &[(u64, f64)],
) -> Option<Word> {
    let at = |time: u64| {
        let after = frames.partition_point(|(each, _)| *each <= time);
        let near = [after.checked_sub(1), Some(after)].into_iter().flatten();
        let near = near.filter_map(|place| frames.get(place));
        near.min_by_key(|(each, _)| each.abs_diff(time))
            .filter(|(each, _)| each.abs_diff(time) <= SKEW_US)
    };
    let differences = said.iter().filter_map(|(time, value)| {
        let (_, bytes) = at(*time)?;
        Some(candidate.value(*bytes) - value)
    });
    let mut differences: Vec<f64> = differences.collect();
    if differences.len() < NEEDED {
        return None;
    }
    differences.sort_by(f64::total_cmp);
    let middle = differences[differences.len() / 2];
    let steps = candidate.factor + standard.factor;
    let steady = |difference: &&f64| (**difference - middle).abs() <= standard.wander + steps;
    let right = differences.iter().filter(steady).count();
    let same =
        middle.abs() <= standard.apart + steps && right as f64 >= differences.len() as f64 * RIGHT;
    Some(if same { Word::Agrees } else { Word::Disagrees })
}
