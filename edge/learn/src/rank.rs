//! Which window explains the readings.

use crate::{
    quantity::Quantity,
    recording::{Order, Page, Recording, Window},
    standard::{Word, judge, said},
};

/// What the dashboard showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// When, in microseconds of the recording's time.
    pub time_us: u64,
    /// The value.
    pub value: f64,
    /// One step of the display: 1 for whole percents. The truth is less than one step away, however the car rounds.
    pub step: f64,
}

/// A window and what it means: value = raw × factor + offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Where.
    pub page: Page,
    /// Which bits.
    pub window: Window,
    /// Factor.
    pub factor: f64,
    /// Offset.
    pub offset: f64,
    /// How unlikely it is; the least is the likeliest.
    pub cost: f64,
    /// How much better it is than what would give other values, 0 to 1.
    pub confidence: f64,
    /// What the standard PID that was recorded beside it says; `None`: there was none, or too little of it.
    pub standard: Option<Word>,
}

impl Candidate {
    /// Its value in a frame's bytes.
    pub fn value(&self, bytes: u64) -> f64 {
        self.window.of(bytes) as f64 * self.factor + self.offset
    }
}

/// The dashboard is a little behind the bus, or ahead of it.
pub(crate) const SKEW_US: u64 = 2_000_000;
/// What the word of a standard PID is worth, as cost: as much as many rare factors.
const AGREES: f64 = -2.0;
const DISAGREES: f64 = 6.0;
/// Candidates that are given back.
const MOST: usize = 20;

/// The windows that explain the readings, the likeliest first; where the standard's PID was recorded beside, those that go with
/// it. Needs at least two readings of different values; with fewer
/// nothing can be told.
pub fn rank(recording: &Recording, quantity: &Quantity, readings: &[Reading]) -> Vec<Candidate> {
    let differ = readings
        .iter()
        .any(|reading| (reading.value - readings[0].value).abs() > reading.step);
    if !differ {
        return Vec::new();
    }
    let mut found = Vec::new();
    for page in recording.pages() {
        let frames = recording.page(page);
        let Some(at) = around(&frames, readings) else {
            continue;
        };
        let bits = recording.length(page.id) as u8 * 8;
        for window in windows(quantity, bits) {
            explain(quantity, readings, &at, &frames, page, window, &mut found);
        }
    }
    if let Some(standard) = &quantity.standard {
        let said = said(recording, standard);
        let mut frames = Vec::new();
        let mut page = None;
        for candidate in found.iter_mut().filter(|_| !said.is_empty()) {
            if page.replace(candidate.page) != Some(candidate.page) {
                frames = recording.page(candidate.page);
            }
            candidate.standard = judge(candidate, &frames, standard, &said);
            candidate.cost += worth(candidate.standard);
        }
    }
    found.sort_by(|a: &Candidate, b| a.cost.total_cmp(&b.cost));
    if let Some(best) = found.first().copied() {
        let frames = recording.page(best.page);
        let rival = found[1..].iter().find(|other| {
            other.page.id != best.page.id
                || frames.iter().any(|(_, bytes)| {
                    (other.value(*bytes) - best.value(*bytes)).abs() > 2.0 * readings[0].step
                })
        });
        // Three points of cost are a common factor against a rare one.
        let margin = rival.map_or(6.0, |rival| rival.cost - best.cost);
        let plain = best.cost - worth(best.standard);
        found[0].confidence = confidence(plain, best.standard, margin, readings.len());
    }
    found.truncate(MOST);
    found
}

/// What the word of a standard PID adds to the cost.
fn worth(word: Option<Word>) -> f64 {
    match word {
        None => 0.0,
        Some(Word::Agrees) => AGREES,
        Some(Word::Disagrees) => DISAGREES,
    }
}

/// How sure the best candidate is: by its cost without the standard's word, by how much better it is than a rival, from so many
/// readings. A standard PID that goes with it takes away most of the doubt; one that does not leaves little else.
pub(crate) fn confidence(cost: f64, standard: Option<Word>, margin: f64, readings: usize) -> f64 {
    let fewer = (readings as f64 / 5.0).min(1.0);
    let alone = fewer * (1.0 - (-margin / 2.0).exp() * 0.9) / (1.0 + cost.max(0.0) / 20.0);
    match standard {
        None => alone,
        Some(Word::Agrees) => 1.0 - (1.0 - alone) * 0.3,
        Some(Word::Disagrees) => alone * 0.3,
    }
}

/// For each reading the frames around it, by their places.
fn around(frames: &[(u64, u64)], readings: &[Reading]) -> Option<Vec<(usize, usize)>> {
    readings
        .iter()
        .map(|reading| {
            let after = frames.partition_point(|(time, _)| *time <= reading.time_us);
            let near = |place: usize| {
                let (time, _) = frames.get(place)?;
                (time.abs_diff(reading.time_us) <= SKEW_US).then_some(place)
            };
            let before = after.checked_sub(1).and_then(near);
            let after = near(after);
            Some((before.or(after)?, after.or(before)?))
        })
        .collect()
}

fn windows(quantity: &Quantity, bits: u8) -> impl Iterator<Item = Window> {
    let (least, most) = quantity.lengths;
    let orders = [Order::Little, Order::Big];
    orders.into_iter().flat_map(move |order| {
        (least..=most.min(bits)).flat_map(move |length| {
            // In Motorola order the frame's end, not its beginning, is at bit 0 of the eighth byte.
            let lowest = if order == Order::Big { 64 - bits } else { 0 };
            (lowest..=lowest + bits - length).filter_map(move |shift| {
                let within = shift % 8 + length <= 8;
                // Within one byte both orders are the same.
                (!(within && order == Order::Big)).then_some(Window {
                    shift,
                    length,
                    order,
                })
            })
        })
    })
}

fn explain(
    quantity: &Quantity,
    readings: &[Reading],
    at: &[(usize, usize)],
    frames: &[(u64, u64)],
    page: Page,
    window: Window,
    found: &mut Vec<Candidate>,
) {
    let raw = |place: usize| window.of(frames[place].1) as f64;
    // The two readings that are furthest apart give the factor, as nearly as their steps allow.
    let by_value = |a: &usize, b: &usize| readings[*a].value.total_cmp(&readings[*b].value);
    let (Some(low), Some(high)) = (
        (0..readings.len()).min_by(by_value),
        (0..readings.len()).max_by(by_value),
    ) else {
        return;
    };
    let span = raw(at[high].0) - raw(at[low].0);
    if span <= 0.0 {
        return;
    }
    let rise = readings[high].value - readings[low].value;
    let slack = 2.0 * readings[low].step + 0.02 * rise;
    let (least, most) = ((rise - slack) / span, (rise + slack) / span);
    for (rarity, &factor) in quantity.factors.iter().enumerate() {
        if factor < least * 0.9 || factor > most * 1.1 {
            continue;
        }
        for (strangeness, &offset) in quantity.offsets.iter().enumerate() {
            let error = |place: usize, reading: &Reading| {
                (raw(place) * factor + offset - reading.value).abs() / (reading.step + factor)
            };
            let errors = readings.iter().zip(at).map(|(reading, (before, after))| {
                error(*before, reading).min(error(*after, reading))
            });
            let mut worst = 0.0f64;
            let mut sum = 0.0;
            for each in errors {
                worst = worst.max(each);
                sum += each;
            }
            if worst > 1.0 {
                continue;
            }
            let Some(rough) = roughness(quantity, frames, window, factor, offset) else {
                continue;
            };
            let coarse = coarseness(factor, readings[0].step);
            let place = (window.shift.into(), window.length);
            let cost = sum / readings.len() as f64 * 2.0
                + oddness(rarity, strangeness, place, coarse)
                + rough * 40.0
                + f64::from(u8::from(page.first.is_some())) * 0.2;
            found.push(Candidate {
                page,
                window,
                factor,
                offset,
                cost,
                confidence: 0.0,
                standard: None,
            });
        }
    }
}

/// Part of the steps that are faster than the quantity can change; `None` if values are impossible.
fn roughness(
    quantity: &Quantity,
    frames: &[(u64, u64)],
    window: Window,
    factor: f64,
    offset: f64,
) -> Option<f64> {
    let mut jumps = 0usize;
    let mut outside = 0usize;
    let mut last: Option<(u64, f64)> = None;
    for (time, bytes) in frames {
        let value = window.of(*bytes) as f64 * factor + offset;
        outside += usize::from(!(quantity.range.0..=quantity.range.1).contains(&value));
        if let Some((before, was)) = last {
            let seconds = (time - before) as f64 / 1e6;
            jumps += usize::from((value - was).abs() > quantity.fastest * seconds + 2.5 * factor);
        }
        last = Some((*time, value));
    }
    // A few frames before the car is ready may say that there is no value.
    let rare = frames.len() / 20;
    (outside <= rare && jumps <= rare.max(1)).then(|| jumps as f64 / frames.len().max(1) as f64)
}

/// How unlikely it is beside its errors: rare factors and offsets, odd places.
pub(crate) fn oddness(rarity: usize, strangeness: usize, window: (u32, u8), coarse: f64) -> f64 {
    let (shift, length) = window;
    rarity as f64 * 0.5 + strangeness as f64 * 2.0 + alignment(shift, length) + coarse
}

/// People put signals at bytes, and give them whole bytes; a window that is longer than needed says the same.
fn alignment(shift: u32, length: u8) -> f64 {
    let lower = if shift.is_multiple_of(8) {
        0.0
    } else if shift.is_multiple_of(4) {
        0.3
    } else {
        0.6
    };
    lower + if length.is_multiple_of(8) { 0.0 } else { 0.1 }
}

/// Where a finer window explains the readings as well, the coarser one has lost its lowest bits.
pub(crate) fn coarseness(factor: f64, step: f64) -> f64 {
    (factor / step).log2().max(-4.0) * 0.05
}
