//! A hundred cars with hidden layouts: five readings of the dashboard find the right signals first.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use isotp::{CanId, Frame};
use learn::{
    Candidate, ODOMETER, Order, PACK_VOLTAGE, Quantity, Reading, Recording, Rule, STATE_OF_CHARGE,
    Window, Word, draft, rank,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};

mod life;

use life::{SECONDS, life};

/// What is in one place of a message.
#[derive(Clone, Debug)]
enum Content {
    /// A quantity by its number, factor and offset.
    Truth(usize, f64, f64),
    /// Something else, second by second.
    Decoy(Vec<u64>),
}

#[derive(Clone, Debug)]
struct Placed {
    window: Window,
    page: Option<u8>,
    content: Content,
}

struct Message {
    id: CanId,
    pages: u8,
    /// Frames per second.
    rate: usize,
    placed: Vec<Placed>,
    counter: Option<Window>,
    checksum: Option<(usize, Rule)>,
    used: u64,
}

fn place(random: &mut SmallRng, length: u8, used: u64, first_free: u8) -> Option<Window> {
    (0..200).find_map(|_| {
        let order = *[Order::Little, Order::Big].choose(random).unwrap();
        let grid = if random.random_bool(0.7) { 8 } else { 1 };
        let shift = random.random_range(0..=(64 - length) / grid) * grid;
        let window = Window {
            shift,
            length,
            order,
        };
        let reserved = (1u64 << first_free) - 1;
        (window.mask() & (used | reserved) == 0).then_some(window)
    })
}

fn decoy(random: &mut SmallRng, length: u8) -> Vec<u64> {
    let range = 1u64 << length.min(62);
    let mut value = random.random_range(0..range);
    let kind = random.random_range(0..5);
    let slow = random.random_range(10..200);
    (0..SECONDS as u64)
        .map(|second| {
            value = match kind {
                // Constant, noise, a random walk, a clock, a staircase that goes down.
                0 => value,
                1 => random.random_range(0..range),
                2 => (value + random.random_range(0..5))
                    .saturating_sub(2)
                    .min(range - 1),
                3 => (value + 1) % range,
                _ => value.saturating_sub(u64::from(second % slow == 0)),
            };
            value
        })
        .collect()
}

fn put(bytes: u64, window: Window, raw: u64) -> u64 {
    let value = (raw & ((1 << window.length) - 1)) << window.shift;
    let value = match window.order {
        Order::Little => value,
        Order::Big => value.swap_bytes(),
    };
    bytes & !window.mask() | value
}

/// A car's messages; the quantities are hidden in three of them.
fn layout(random: &mut SmallRng) -> Vec<Message> {
    let count = random.random_range(12..20);
    let mut messages: Vec<Message> = (0..count)
        .map(|number: u32| Message {
            id: CanId::standard(0x100 + number * 0x11 + random.random_range(0..8)).unwrap(),
            pages: if random.random_bool(0.25) {
                random.random_range(2..5)
            } else {
                1
            },
            rate: *[1, 1, 2].choose(random).unwrap(),
            placed: Vec::new(),
            counter: None,
            checksum: None,
            used: 0,
        })
        .collect();
    for message in &mut messages {
        if random.random_bool(0.4) {
            let rules = [Rule::Xor, Rule::Sum, Rule::Crc8(0x1D), Rule::Crc8(0x2F)];
            message.checksum = Some((7, *rules.choose(random).unwrap()));
            message.used |= 0xFF << 56;
            let counter = Window {
                shift: 48,
                length: 4,
                order: Order::Little,
            };
            message.counter = Some(counter);
            message.used |= counter.mask();
        }
    }
    let codings: [&[(u8, f64, f64)]; 3] = [
        &[
            (8, 0.5, 0.0),
            (7, 1.0, 0.0),
            (10, 0.1, 0.0),
            (16, 0.01, 0.0),
            (8, 0.4, 0.0),
            (12, 0.05, -10.0),
        ],
        &[
            (24, 0.1, 0.0),
            (24, 1.0, 0.0),
            (32, 0.001, 0.0),
            (32, 0.1, 0.0),
            (20, 1.0, 0.0),
        ],
        &[
            (16, 0.1, 0.0),
            (10, 0.5, 0.0),
            (12, 0.25, 0.0),
            (16, 0.01, 0.0),
            (12, 0.1, 100.0),
        ],
    ];
    for (quantity, codings) in codings.iter().enumerate() {
        let (length, factor, offset) = *codings.choose(random).unwrap();
        loop {
            let number = random.random_range(0..messages.len());
            let message = &mut messages[number];
            let first_free = if message.pages > 1 { 8 } else { 0 };
            let Some(window) = place(random, length, message.used, first_free) else {
                continue;
            };
            message.used |= window.mask();
            let page = (message.pages > 1).then(|| random.random_range(0..message.pages));
            let content = Content::Truth(quantity, factor, offset);
            message.placed.push(Placed {
                window,
                page,
                content,
            });
            break;
        }
    }
    for message in &mut messages {
        for _ in 0..random.random_range(1..5) {
            let length = random.random_range(2..17);
            let first_free = if message.pages > 1 { 8 } else { 0 };
            if let Some(window) = place(random, length, message.used, first_free) {
                message.used |= window.mask();
                let content = Content::Decoy(decoy(random, length));
                message.placed.push(Placed {
                    window,
                    page: None,
                    content,
                });
            }
        }
    }
    messages
}

fn checksum(rule: Rule, bytes: [u8; 8], at: usize, constant: u8) -> u8 {
    let others = bytes
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != at)
        .map(|(_, byte)| *byte);
    match rule {
        Rule::Xor => others.fold(constant, |all, byte| all ^ byte),
        Rule::Sum => others.fold(constant, u8::wrapping_add),
        Rule::NegativeSum => 0u8.wrapping_sub(others.fold(constant, u8::wrapping_add)),
        Rule::Crc8(polynomial) => others.fold(constant, |crc, byte| {
            (0..8).fold(crc ^ byte, |crc, _| {
                if crc & 0x80 == 0 {
                    crc << 1
                } else {
                    crc << 1 ^ polynomial
                }
            })
        }),
    }
}

fn record(messages: &[Message], life: &[Vec<f64>; 3], random: &mut SmallRng) -> Recording {
    let mut recording = Recording::default();
    let constants: Vec<u8> = messages.iter().map(|_| random.random()).collect();
    let mut sent = vec![0u64; messages.len()];
    for second in 0..SECONDS {
        for (number, message) in messages.iter().enumerate() {
            for part in 0..message.rate {
                let count = &mut sent[number];
                let page = (*count % u64::from(message.pages)) as u8;
                let mut bytes = if message.pages > 1 {
                    u64::from(page)
                } else {
                    0
                };
                for placed in &message.placed {
                    if placed.page.is_some_and(|own| own != page) {
                        continue;
                    }
                    let raw = match &placed.content {
                        Content::Truth(quantity, factor, offset) => {
                            ((life[*quantity][second] - offset) / factor)
                                .round()
                                .max(0.0) as u64
                        }
                        Content::Decoy(values) => values[second],
                    };
                    bytes = put(bytes, placed.window, raw);
                }
                if let Some(counter) = message.counter {
                    bytes = put(bytes, counter, *count);
                }
                if let Some((at, rule)) = message.checksum {
                    let check = checksum(rule, bytes.to_le_bytes(), at, constants[number]);
                    bytes |= u64::from(check) << (at * 8);
                }
                *count += 1;
                let time = (second * 1_000_000 + part * 500_000 + number * 1_000) as u64;
                let frame = Frame::classic(message.id, &bytes.to_le_bytes()).unwrap();
                recording.add(time, &frame);
            }
        }
    }
    recording
}

/// What the technician sees: while driving and while charging, rounded as a dashboard does.
fn readings(series: &[f64], step: f64, random: &mut SmallRng) -> Vec<Reading> {
    (0..5)
        .map(|part| {
            let second = part * SECONDS / 5 + random.random_range(60..SECONDS / 5 - 10);
            Reading {
                time_us: second as u64 * 1_000_000 + 900_000,
                value: (series[second] / step).round() * step,
                step,
            }
        })
        .collect()
}

#[test]
fn five_readings_rank_the_right_signals_first() {
    let cars: u64 = 100;
    let (mut right, mut all) = (0, 0);
    let mut wrong = Vec::new();
    for seed in 0..cars {
        let random = &mut SmallRng::seed_from_u64(seed);
        let life = life(random);
        let messages = layout(random);
        let recording = record(&messages, &life, random);
        let quantities: [(Quantity, f64); 3] =
            [(STATE_OF_CHARGE, 1.0), (ODOMETER, 1.0), (PACK_VOLTAGE, 1.0)];
        for (number, (quantity, step)) in quantities.iter().enumerate() {
            let readings = readings(&life[number], *step, random);
            let ranked = rank(&recording, quantity, &readings);
            all += 1;
            let fits = ranked.first().is_some_and(|best| {
                recording.page(best.page).iter().all(|(time, bytes)| {
                    let truth = life[number][(*time / 1_000_000) as usize];
                    (best.value(*bytes) - truth).abs() <= *step
                })
            });
            if fits {
                right += 1;
            } else {
                let hidden = messages.iter().flat_map(|message| {
                    message
                        .placed
                        .iter()
                        .filter_map(|placed| match placed.content {
                            Content::Truth(own, factor, offset) if own == number => {
                                Some((message.id, placed.page, placed.window, factor, offset))
                            }
                            _ => None,
                        })
                });
                wrong.push(format!(
                    "seed {seed} {}: {:?}, hidden {:?}",
                    quantity.name,
                    ranked.first(),
                    hidden.collect::<Vec<_>>()
                ));
            }
        }
    }
    println!("{right} of {all} signals are first");
    assert!(
        right * 100 >= all * 95,
        "{right} of {all}:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn nothing_is_told_from_too_little() {
    let random = &mut SmallRng::seed_from_u64(1);
    let life = life(random);
    let messages = layout(random);
    let recording = record(&messages, &life, random);
    let one = readings(&life[0], 1.0, random)[..1].to_vec();
    assert!(rank(&recording, &STATE_OF_CHARGE, &one).is_empty());
    assert!(rank(&recording, &STATE_OF_CHARGE, &[]).is_empty());
    assert!(
        rank(
            &Recording::default(),
            &ODOMETER,
            &readings(&life[1], 1.0, random)
        )
        .is_empty()
    );
}

#[test]
fn a_draft_reads_as_what_was_learnt() {
    let random = &mut SmallRng::seed_from_u64(7);
    let life = life(random);
    let messages = layout(random);
    let recording = record(&messages, &life, random);
    let found: Vec<_> = [STATE_OF_CHARGE, ODOMETER, PACK_VOLTAGE]
        .into_iter()
        .enumerate()
        .filter_map(|(number, quantity)| {
            let readings = readings(&life[number], 1.0, random);
            Some((quantity, *rank(&recording, &quantity, &readings).first()?))
        })
        .collect();
    assert_eq!(found.len(), 3);
    let draft = draft("Learnt", "learnt.dbc", &found);
    let dbc = vehicles::dbc::Dbc::parse(draft.dbc.as_bytes());
    assert_eq!(dbc.warnings, [], "{}", draft.dbc);
    let decoder = vehicles::dbc::Decoder::new(&dbc);
    for (quantity, candidate) in &found {
        let (_, bytes) = recording.page(candidate.page)[100];
        let mut values = Vec::new();
        decoder.decode(candidate.page.id, &bytes.to_le_bytes(), &mut values);
        let value = values.iter().find_map(|reading| {
            let signal = &decoder.signals()[reading.signal as usize];
            (signal.name == quantity.name).then(|| signal.def.encoding.value(reading.raw))
        });
        let value = value.unwrap_or_else(|| panic!("{} in {}", quantity.name, draft.dbc));
        assert!(
            (value - candidate.value(bytes)).abs() < 1e-6,
            "{}",
            quantity.name
        );
    }
    assert!(draft.profile.contains("# Confidence"));
}

/// Somebody asks by the law's diagnostics while the bus is recorded: each ten seconds one PID of a quantity, which moves with what
/// `told` says of it.
fn ask(recording: &mut Recording, number: usize, told: impl Fn(usize) -> f64) {
    let id = CanId::standard(0x7E8).unwrap();
    for second in (5..SECONDS).step_by(10) {
        let value = told(second);
        let bytes = match number {
            0 => vec![
                3,
                0x41,
                0x5B,
                (value / 100.0 * 255.0).round() as u8,
                0,
                0,
                0,
                0,
            ],
            _ => {
                let raw = (value * 10.0).round() as u32;
                [&[6, 0x41, 0xA6][..], &raw.to_be_bytes(), &[0]].concat()
            }
        };
        let frame = Frame::classic(id, &bytes).unwrap();
        recording.add(second as u64 * 1_000_000 + 500_000, &frame);
    }
}

#[test]
fn what_standard_pids_say_raises_and_lowers_confidence() {
    let cars = 40;
    let quantities = [STATE_OF_CHARGE, ODOMETER];
    let (mut all, mut alone, mut with, mut lowered) = (0, 0, 0, 0);
    for seed in 0..cars {
        let random = &mut SmallRng::seed_from_u64(1000 + seed);
        let life = life(random);
        let messages = layout(random);
        let plain = record(&messages, &life, random);
        for (number, quantity) in quantities.iter().enumerate() {
            // Two readings alone: much explains them.
            let few: Vec<Reading> = readings(&life[number], 1.0, random)
                .into_iter()
                .step_by(3)
                .collect();
            let is_right = |best: Option<&Candidate>| {
                best.is_some_and(|best| {
                    plain.page(best.page).iter().all(|(time, bytes)| {
                        let truth = life[number][(*time / 1_000_000) as usize];
                        (best.value(*bytes) - truth).abs() <= 1.0
                    })
                })
            };
            let before = rank(&plain, quantity, &few);
            // The battery's own state of charge, which the dashboard does not show whole.
            let told = |second: usize| match number {
                0 => life[0][second] * 0.93 + 4.0,
                _ => life[1][second],
            };
            let mut asked = plain.clone();
            ask(&mut asked, number, told);
            let after = rank(&asked, quantity, &few);
            all += 1;
            alone += u32::from(is_right(before.first()));
            with += u32::from(is_right(after.first()));
            let Some(best) = after.first().filter(|best| is_right(Some(*best))) else {
                continue;
            };
            assert_eq!(
                best.standard,
                Some(Word::Agrees),
                "seed {seed} {}",
                quantity.name
            );
            let same = |other: &&Candidate| other.page == best.page && other.window == best.window;
            if let Some(first) = before.first().filter(same) {
                assert_eq!(first.standard, None);
                assert!(best.confidence > first.confidence, "{best:?} {first:?}");
            }
            // A PID that tells something else.
            let mut asked = plain.clone();
            ask(&mut asked, number, |second| match number {
                0 => 20.0 + second as f64 / 60.0,
                _ => 500.0 + second as f64 / 10.0,
            });
            let contradicted = rank(&asked, quantity, &few);
            if let Some(found) = contradicted.iter().find(same) {
                assert_eq!(found.standard, Some(Word::Disagrees), "seed {seed}");
            }
            if let Some(first) = contradicted.first().filter(same) {
                assert!(first.confidence < best.confidence, "{best:?} {first:?}");
                lowered += 1;
            }
        }
    }
    println!("of two readings {alone} of {all} are right, with a standard PID {with}");
    assert!(
        with > alone && lowered > 0,
        "{with} {alone} {lowered} {all}"
    );
    assert!(with * 100 >= all * 80, "{with} of {all}");
}
