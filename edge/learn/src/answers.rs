//! Which bytes of an ECU's answers explain what the dashboard showed: the same identifiers were asked in several rounds. There is
//! nothing between the rounds to look at, so that readings far apart, and many, tell more than they do of a bus.

use std::{collections::BTreeMap, fmt::Write as _};

use isotp::CanId;

use crate::{
    quantity::Quantity,
    rank::{coarseness, confidence, oddness},
    recording::Order,
};

/// What an ECU answered in one round: the bytes after service and identifier, by identifier.
pub type Round = BTreeMap<u16, Vec<u8>>;

/// Some bits of an answer, as vehicle profiles have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The identifier.
    pub identifier: u16,
    /// The first bit, counted from the most significant one of the first byte after the identifier.
    pub bit: u32,
    /// Its length in bits, 1 to 32.
    pub length: u8,
    /// Order of its bytes; [`Order::Little`] begins and ends at a byte.
    pub order: Order,
}

impl Place {
    /// Its raw value in an answer; `None` if the answer is too short.
    pub fn of(&self, answer: &[u8]) -> Option<u64> {
        let end = self.bit + u32::from(self.length);
        let bytes = answer.get(self.bit as usize / 8..end.div_ceil(8) as usize)?;
        let big = |raw: u64, byte: &u8| raw << 8 | u64::from(*byte);
        Some(match self.order {
            Order::Little => bytes.iter().rev().fold(0, big),
            Order::Big => {
                let below = end.next_multiple_of(8) - end;
                bytes.iter().fold(0, big) >> below & ((1 << self.length) - 1)
            }
        })
    }

    fn shares(&self, other: &Self) -> bool {
        let end = |place: &Self| place.bit + u32::from(place.length);
        self.identifier == other.identifier && self.bit < end(other) && other.bit < end(self)
    }
}

/// A place and what it means: value = raw × factor + offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// Bytes of the answer after the identifier, the same in every round.
    pub answer_length: usize,
    /// Factor.
    pub factor: f64,
    /// Offset.
    pub offset: f64,
    /// How unlikely it is; the least is the likeliest.
    pub cost: f64,
    /// How much better it is than what would give other values, 0 to 1.
    pub confidence: f64,
}

impl Found {
    /// Its value in an answer.
    pub fn value(&self, answer: &[u8]) -> Option<f64> {
        let raw = self.place.of(answer)?;
        Some(raw as f64 * self.factor + self.offset)
    }
}

/// What the dashboard showed in one round.
struct Shown<'a> {
    round: &'a Round,
    value: f64,
    step: f64,
}

/// Candidates that are given back.
const MOST: usize = 20;

/// The places that explain what was shown, the likeliest first. `shown` has for each round the value and one step of the display,
/// where the dashboard was read. Needs at least two different values; with fewer nothing can be told.
pub fn rank_answers(
    rounds: &[Round],
    quantity: &Quantity,
    shown: &[Option<(f64, f64)>],
) -> Vec<Found> {
    let shown: Vec<Shown<'_>> = rounds
        .iter()
        .zip(shown)
        .filter_map(|(round, shown)| {
            let (value, step) = (*shown)?;
            Some(Shown { round, value, step })
        })
        .collect();
    let by_value = |a: &&Shown<'_>, b: &&Shown<'_>| a.value.total_cmp(&b.value);
    let (Some(low), Some(high)) = (shown.iter().min_by(by_value), shown.iter().max_by(by_value))
    else {
        return Vec::new();
    };
    if high.value - low.value <= low.step {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (identifier, first) in low.round {
        let answers: Option<Vec<&[u8]>> = shown
            .iter()
            .map(|shown| shown.round.get(identifier).map(Vec::as_slice))
            .map(|answer| answer.filter(|answer| answer.len() == first.len()))
            .collect();
        let Some(answers) = answers else {
            continue;
        };
        for place in places(*identifier, quantity, first.len()) {
            explain(quantity, &shown, &answers, place, &mut found);
        }
    }
    found.sort_by(|a: &Found, b| a.cost.total_cmp(&b.cost));
    if let Some(best) = found.first().copied() {
        // What gives the same values is the same quantity once more.
        let other = |rival: &&Found| {
            shown.iter().any(|shown| {
                let value = |found: &Found| {
                    let answer = shown.round.get(&found.place.identifier);
                    answer.and_then(|answer| found.value(answer))
                };
                let apart = value(rival).zip(value(&best)).map(|(a, b)| (a - b).abs());
                apart.is_none_or(|apart| apart > shown.step)
            })
        };
        let margin = found[1..].iter().find(other);
        let margin = margin.map_or(6.0, |rival| rival.cost - best.cost);
        found[0].confidence = confidence(best.cost, None, margin, shown.len());
    }
    found.truncate(MOST);
    found
}

fn places(identifier: u16, quantity: &Quantity, bytes: usize) -> impl Iterator<Item = Place> {
    let (least, most) = quantity.lengths;
    let bits = bytes as u32 * 8;
    let place = move |bit, length, order| Place {
        identifier,
        bit,
        length,
        order,
    };
    (least..=most).flat_map(move |length| {
        let starts = (bits + 1).saturating_sub(length.into());
        let big = (0..starts).map(move |bit| place(bit, length, Order::Big));
        let whole = length > 8 && length.is_multiple_of(8);
        let little = (0..if whole { starts } else { 0 }).step_by(8);
        big.chain(little.map(move |bit| place(bit, length, Order::Little)))
    })
}

fn explain(
    quantity: &Quantity,
    shown: &[Shown<'_>],
    answers: &[&[u8]],
    place: Place,
    found: &mut Vec<Found>,
) {
    let raws: Option<Vec<f64>> = answers
        .iter()
        .map(|answer| place.of(answer).map(|raw| raw as f64))
        .collect();
    let Some(raws) = raws else {
        return;
    };
    if raws.iter().all(|raw| *raw == raws[0]) {
        return;
    }
    for (rarity, &factor) in quantity.factors.iter().enumerate() {
        for (strangeness, &offset) in quantity.offsets.iter().enumerate() {
            let values = raws.iter().map(|raw| raw * factor + offset);
            let (mut worst, mut sum) = (0.0f64, 0.0);
            for (value, shown) in values.zip(shown) {
                let inside = (quantity.range.0..=quantity.range.1).contains(&value);
                let error = (value - shown.value).abs() / (shown.step + factor);
                worst = worst.max(if inside { error } else { f64::INFINITY });
                sum += error;
                if worst > 1.0 {
                    break;
                }
            }
            if worst > 1.0 {
                continue;
            }
            // From the last bit of a byte, as for frames.
            let end = place.bit + u32::from(place.length);
            let window = (end.next_multiple_of(8) - end, place.length);
            let coarse = coarseness(factor, shown[0].step);
            found.push(Found {
                place,
                answer_length: answers[0].len(),
                factor,
                offset,
                cost: sum / shown.len() as f64 * 2.0 + oddness(rarity, strangeness, window, coarse),
                confidence: 0.0,
            });
        }
    }
}

/// Writes a vehicle profile of what was found, with its confidence: each identifier is a command. Of two places that share bits
/// the more confident one is taken.
pub fn draft_answers(
    name: &str,
    (request, response): (CanId, CanId),
    service: u8,
    found: &[(Quantity, Found)],
) -> String {
    let mut best: Vec<_> = found.iter().collect();
    best.sort_by(|a, b| b.1.confidence.total_cmp(&a.1.confidence));
    let mut taken: Vec<&(Quantity, Found)> = Vec::new();
    for each in best {
        if !taken
            .iter()
            .any(|other| other.1.place.shares(&each.1.place))
        {
            taken.push(each);
        }
    }
    taken.sort_by_key(|(_, found)| found.place);
    let mut profile = format!(
        "# A draft, learnt from an ECU's answers and readings of the dashboard. Look at it before you rely on it.\n\nname = {name:?}\n\n\
         [[bus]]\nname = \"learnt\"\nbitrate = 500000\n"
    );
    let mut last = None;
    for (quantity, found) in taken {
        let identifier = found.place.identifier;
        let digits = if service == 0x21 { 2 } else { 4 };
        // Writing to a text cannot fail.
        if last.replace(identifier) != Some(identifier) {
            let _ = write!(
                profile,
                "\n[[command]]\nname = \"{identifier:0digits$X}\"\nrequest = \"{request}\"\nresponse = \"{response}\"\n\
                 service = \"{service:02X}\"\nidentifier = \"{identifier:0digits$X}\"\nanswer_length = {}\n\
                 every = {{ awake = \"1min\", charging = \"10s\", driving = \"5s\" }}\n",
                found.answer_length
            );
        }
        let _ = write!(
            profile,
            "\n# Confidence {:.0} %.\n[[command.signal]]\nname = \"{}\"\nsignal = \"{}\"\nbit = {}\nlength = {}\n",
            found.confidence * 100.0,
            quantity.name,
            quantity.signal,
            found.place.bit,
            found.place.length,
        );
        if found.place.order == Order::Little {
            profile += "order = \"little\"\n";
        }
        let decimal = |value: f64| (value * 1e9).round() / 1e9;
        let _ = writeln!(profile, "multiply = \"{}\"", decimal(found.factor));
        if found.offset != 0.0 {
            let _ = writeln!(profile, "add = \"{}\"", decimal(found.offset));
        }
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_profiles() {
        let place = |bit, length, order| Place {
            identifier: 1,
            bit,
            length,
            order,
        };
        let answer = [0x12, 0x34, 0x56, 0x78];
        for (bit, length, order, raw) in [
            (0, 8, Order::Big, 0x12),
            (4, 12, Order::Big, 0x234),
            (7, 10, Order::Big, 0b00_0110_1000),
            (8, 16, Order::Big, 0x3456),
            (8, 16, Order::Little, 0x5634),
            (0, 32, Order::Big, 0x1234_5678),
        ] {
            assert_eq!(place(bit, length, order).of(&answer), Some(raw), "{bit}");
        }
        assert_eq!(place(24, 9, Order::Big).of(&answer), None);
        assert!(place(0, 9, Order::Big).shares(&place(8, 8, Order::Big)));
        assert!(!place(0, 8, Order::Big).shares(&place(8, 8, Order::Big)));
    }
}
