//! A hundred ECUs with hidden layouts: five scans and readings of the dashboard find the right bits first.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod life;

use std::fmt::Write as _;

use learn::{
    Found, ODOMETER, Order, PACK_VOLTAGE, Place, Quantity, Round, STATE_OF_CHARGE, draft_answers,
    rank_answers,
};
use life::{SECONDS, life};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};

/// The codings of each quantity: bits, factor, offset.
const CODINGS: [&[(u8, f64, f64)]; 3] = [
    &[
        (8, 0.5, 0.0),
        (8, 1.0, 0.0),
        (8, 0.4, 0.0),
        (16, 0.01, 0.0),
        (16, 0.1, 0.0),
        (10, 0.1, 0.0),
    ],
    &[
        (24, 0.1, 0.0),
        (24, 1.0, 0.0),
        (32, 0.001, 0.0),
        (32, 1.0, 0.0),
    ],
    &[
        (16, 0.1, 0.0),
        (16, 0.01, 0.0),
        (16, 0.25, 0.0),
        (12, 0.5, 100.0),
    ],
];
const QUANTITIES: [Quantity; 3] = [STATE_OF_CHARGE, ODOMETER, PACK_VOLTAGE];

/// Where a quantity is hidden.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    place: Place,
    factor: f64,
    offset: f64,
}

/// How bytes that mean something else behave.
#[derive(Clone, Copy)]
enum Decoy {
    Constant(u8),
    Noise,
    Slow(u8),
    Clock,
}

struct Ecu {
    /// What else is in each answer, byte by byte.
    decoys: Vec<(u16, Vec<Decoy>)>,
    hidden: [Hidden; 3],
}

impl Ecu {
    fn new(random: &mut SmallRng) -> Self {
        let decoys: Vec<(u16, Vec<Decoy>)> = (0..random.random_range(20..50u16))
            .map(|number| {
                let length = *[1, 2, 2, 4, 8, 23, 46].choose(random).unwrap();
                let decoy = |_| match random.random_range(0..4) {
                    0 => Decoy::Constant(random.random()),
                    1 => Decoy::Noise,
                    2 => Decoy::Slow(random.random()),
                    _ => Decoy::Clock,
                };
                (0x0100 + number * 3, (0..length).map(decoy).collect())
            })
            .collect();
        let mut places: Vec<Place> = Vec::new();
        let hidden = [0, 1, 2].map(|number: usize| {
            let (length, factor, offset) = *CODINGS[number].choose(random).unwrap();
            loop {
                let (identifier, bytes) = decoys.choose(random).unwrap();
                let whole = length.is_multiple_of(8);
                let bytes_needed = u32::from(length).div_ceil(8);
                let Some(room) = (bytes.len() as u32).checked_sub(bytes_needed) else {
                    continue;
                };
                let byte = random.random_range(0..=room);
                let little = whole && length > 8 && random.random_bool(0.3);
                let place = Place {
                    identifier: *identifier,
                    bit: byte * 8 + (bytes_needed * 8 - u32::from(length)),
                    length,
                    order: if little { Order::Little } else { Order::Big },
                };
                let end = |place: &Place| place.bit + u32::from(place.length);
                let shares = |other: &Place| {
                    other.identifier == place.identifier
                        && other.bit / 8 < end(&place).div_ceil(8)
                        && place.bit / 8 < end(other).div_ceil(8)
                };
                if !places.iter().any(shares) {
                    places.push(place);
                    return Hidden {
                        place,
                        factor,
                        offset,
                    };
                }
            }
        });
        Self { decoys, hidden }
    }

    /// All that it answers at a second of the car's life.
    fn round(&self, life: &[Vec<f64>; 3], second: usize, random: &mut SmallRng) -> Round {
        let mut round: Round = self
            .decoys
            .iter()
            .map(|(identifier, bytes)| {
                let byte = |decoy: &Decoy| match *decoy {
                    Decoy::Constant(byte) => byte,
                    Decoy::Noise => random.random(),
                    Decoy::Slow(byte) => byte.wrapping_add((second / 200) as u8),
                    Decoy::Clock => second as u8,
                };
                (*identifier, bytes.iter().map(byte).collect())
            })
            .collect();
        for (hidden, series) in self.hidden.iter().zip(life) {
            let raw = ((series[second] - hidden.offset) / hidden.factor).round() as u64;
            put(
                round.get_mut(&hidden.place.identifier).unwrap(),
                hidden.place,
                raw,
            );
        }
        round
    }
}

fn put(answer: &mut [u8], place: Place, raw: u64) {
    for number in 0..u32::from(place.length) {
        let bit = match place.order {
            Order::Big => place.bit + u32::from(place.length) - 1 - number,
            // From the least significant bit of the first byte on.
            Order::Little => place.bit + number / 8 * 8 + 7 - number % 8,
        };
        let mask = 0x80 >> (bit % 8);
        let byte = &mut answer[bit as usize / 8];
        *byte = if raw >> number & 1 == 1 {
            *byte | mask
        } else {
            *byte & !mask
        };
    }
}

/// Five seconds of a life, far apart, at which an ECU is scanned.
fn instants(random: &mut SmallRng) -> Vec<usize> {
    let part = SECONDS / 5;
    (0..5)
        .map(|number| number * part + random.random_range(part / 4..part * 3 / 4))
        .collect()
}

/// Whether what was found tells the truth at any instant.
fn is_right(
    found: &Found,
    ecu: &Ecu,
    life: &[Vec<f64>; 3],
    number: usize,
    random: &mut SmallRng,
) -> bool {
    (0..SECONDS).step_by(97).all(|second| {
        let round = ecu.round(life, second, random);
        let value = found.value(&round[&found.place.identifier]);
        value.is_some_and(|value| (value - life[number][second]).abs() <= 1.0)
    })
}

#[test]
fn five_scans_rank_the_right_bits_first() {
    let (mut right, mut all) = (0, 0);
    let mut wrong = String::new();
    for seed in 0..100 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let life = life(random);
        let ecu = Ecu::new(random);
        let instants = instants(random);
        let rounds: Vec<Round> = instants
            .iter()
            .map(|second| ecu.round(&life, *second, random))
            .collect();
        for (number, quantity) in QUANTITIES.iter().enumerate() {
            let shown: Vec<_> = instants
                .iter()
                .map(|second| Some((life[number][*second].floor(), 1.0)))
                .collect();
            let ranked = rank_answers(&rounds, quantity, &shown);
            all += 1;
            match ranked.first() {
                Some(best) if is_right(best, &ecu, &life, number, random) => right += 1,
                best => {
                    let hidden = ecu.hidden[number];
                    writeln!(wrong, "seed {seed} {}: {best:?}, {hidden:?}", quantity.name).unwrap();
                }
            }
        }
    }
    println!("{right} of {all} signals are first");
    assert!(right * 100 >= all * 95, "{right} of {all}:\n{wrong}");
}

#[test]
fn nothing_is_told_from_too_little() {
    let random = &mut SmallRng::seed_from_u64(1);
    let life = life(random);
    let ecu = Ecu::new(random);
    let rounds: Vec<Round> = [100, 2000]
        .map(|second| ecu.round(&life, second, random))
        .into();
    let rank = |shown: &[Option<(f64, f64)>]| rank_answers(&rounds, &STATE_OF_CHARGE, shown);
    assert!(rank(&[]).is_empty());
    assert!(rank(&[Some((70.0, 1.0)), None]).is_empty());
    assert!(rank(&[Some((70.0, 1.0)), Some((70.0, 1.0))]).is_empty());
    // Two readings say something, and not much.
    let shown = [100, 2000].map(|second: usize| Some((life[0][second].floor(), 1.0)));
    assert!(rank(&shown).iter().all(|found| found.confidence < 0.5));
}

#[test]
fn a_draft_reads_as_what_was_learnt() {
    let random = &mut SmallRng::seed_from_u64(3);
    let life = life(random);
    let ecu = Ecu::new(random);
    let instants = instants(random);
    let rounds: Vec<Round> = instants
        .iter()
        .map(|second| ecu.round(&life, *second, random))
        .collect();
    let mut found = Vec::new();
    for (number, quantity) in QUANTITIES.iter().enumerate() {
        let shown: Vec<_> = instants
            .iter()
            .map(|second| Some((life[number][*second].floor(), 1.0)))
            .collect();
        let ranked = rank_answers(&rounds, quantity, &shown);
        found.push((*quantity, *ranked.first().unwrap()));
    }
    let ids = ("7E4".parse().unwrap(), "7EC".parse().unwrap());
    let text = draft_answers("Learnt", ids, 0x22, &found);
    assert_eq!(text.matches("# Confidence").count(), 3, "{text}");
    let definition = vehicles::offline::Definition::read("learnt.toml", &text)
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(definition.warnings, [], "{text}");
    for (quantity, candidate) in &found {
        let identifier = candidate.place.identifier;
        let answer = &rounds[2][&identifier];
        let command = definition
            .command(&format!("{identifier:04X}"), None)
            .unwrap();
        let [high, low] = identifier.to_be_bytes();
        let payload = [&[0x62, high, low], &answer[..]].concat();
        let mut readings = Vec::new();
        definition
            .table
            .decode(command, &payload, &mut readings)
            .unwrap();
        let value = readings.iter().find_map(|reading| {
            let signal = &definition.table.signals()[reading.signal as usize];
            (signal.name == quantity.name).then(|| signal.def.encoding.value(reading.raw))
        });
        let value = value.unwrap_or_else(|| panic!("{} in {text}", quantity.name));
        assert!(
            (value - candidate.value(answer).unwrap()).abs() < 1e-6,
            "{text}"
        );
    }
}
