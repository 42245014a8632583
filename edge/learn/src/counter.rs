//! Counters: bits that go up, or down, by one with every frame.

use isotp::CanId;

use crate::recording::{Order, Recording, Window};

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counter {
    /// Whose.
    pub id: CanId,
    /// Its bits.
    pub window: Window,
    /// 1 or -1.
    pub step: i8,
    /// Part of the steps that are right; the others are lost frames.
    pub regular: f64,
}

/// Frames that are needed to tell.
const FRAMES: usize = 32;
/// Steps that must be right.
const REGULAR: f64 = 0.9;
/// A bit that changes with every frame may be chance more easily.
const REGULAR_BIT: f64 = 0.98;
/// Part of the steps at which a counter may turn round, as some do when the car is made ready: a quantity that rises and falls
/// does it more often.
const TURNS: f64 = 0.01;
/// Times that a counter must have come round before another place may count them.
const ROUNDS: usize = 8;

/// The counters of all identifiers, the longest of those that share bits. What counts the rounds of another counter of
/// the message is one, too.
pub(crate) fn counters(recording: &Recording) -> Vec<Counter> {
    let mut all = Vec::new();
    for id in recording.ids() {
        let frames = recording.frames(id);
        let bits = recording.length(id) as u8 * 8;
        if frames.len() < FRAMES {
            continue;
        }
        let first = all.len();
        let mut taken = 0u64;
        for length in [16u8, 12, 8, 7, 6, 5, 4, 3, 2, 1] {
            for window in places(bits, length) {
                if window.mask() & taken != 0 {
                    continue;
                }
                if let Some((step, regular)) = counts(frames, window) {
                    taken |= window.mask();
                    all.push(Counter {
                        id,
                        window,
                        step,
                        regular,
                    });
                }
            }
        }
        let found: Vec<Counter> = all[first..].to_vec();
        for length in [4u8, 3, 2] {
            for window in places(bits, length) {
                if window.mask() & taken != 0 {
                    continue;
                }
                let rounds = |counter: &Counter| counts_rounds(frames, counter, window);
                if let Some(regular) = found.iter().find_map(rounds) {
                    taken |= window.mask();
                    all.push(Counter {
                        id,
                        window,
                        step: 1,
                        regular,
                    });
                }
            }
        }
    }
    all
}

/// Short counters lie within a byte, longer ones begin at one.
fn places(bits: u8, length: u8) -> impl Iterator<Item = Window> {
    let orders: &[Order] = if length > 8 {
        &[Order::Little, Order::Big]
    } else {
        &[Order::Little]
    };
    orders.iter().flat_map(move |&order| {
        let lowest = if order == Order::Big { 64 - bits } else { 0 };
        (lowest..(lowest + bits + 1).saturating_sub(length))
            .filter(move |shift| {
                if length > 8 {
                    shift.is_multiple_of(8)
                } else {
                    shift % 8 + length <= 8
                }
            })
            .map(move |shift| Window {
                shift,
                length,
                order,
            })
    })
}

fn counts(frames: &[(u64, u64)], window: Window) -> Option<(i8, f64)> {
    let range = 1u64 << window.length;
    // It must have come round, or at least through a good part of its range: a slow quantity rises, too.
    let (mut up, mut down, mut turns, mut seen) = (0usize, 0usize, 0usize, 0u64);
    let mut last = 0;
    for pair in frames.windows(2) {
        let (a, b) = (window.of(pair[0].1), window.of(pair[1].1));
        let delta = b.wrapping_sub(a) & (range - 1);
        if delta == 1 {
            up += 1;
            turns += usize::from(last == range - 1 && range > 2);
        } else if delta == range - 1 {
            down += 1;
            turns += usize::from(last == 1);
        }
        last = delta;
        seen |= 1 << (b * 16 / range.max(16)).min(63);
    }
    let steps = frames.len() - 1;
    let enough = u64::from(seen.count_ones()) >= range.min(16) * 3 / 4;
    let regular = (up + down) as f64 / steps as f64;
    let needed = if window.length == 1 {
        REGULAR_BIT
    } else {
        REGULAR
    };
    let steady = turns as f64 <= steps as f64 * TURNS;
    // In two bits up by three is down by one; both directions of one bit are the same.
    (enough && steady && regular >= needed).then_some((if up >= down { 1 } else { -1 }, regular))
}

/// Part of the rounds of a counter at which this window, and at no other frame, goes up by one.
fn counts_rounds(frames: &[(u64, u64)], counter: &Counter, window: Window) -> Option<f64> {
    let range = 1u64 << window.length;
    let (mut rounds, mut right, mut others) = (0usize, 0usize, 0usize);
    let mut seen = 0u64;
    for pair in frames.windows(2) {
        let step = |window: Window| (window.of(pair[0].1), window.of(pair[1].1));
        let (was, is) = step(counter.window);
        let round = if counter.step > 0 { is < was } else { is > was };
        let (was, is) = step(window);
        seen |= 1 << is;
        rounds += usize::from(round);
        right += usize::from(round && is == (was + 1) % range);
        others += usize::from(!round && is != was);
    }
    let regular = right as f64 / rounds.max(1) as f64;
    let whole = u64::from(seen.count_ones()) == range;
    (rounds >= ROUNDS && whole && regular >= REGULAR && others <= rounds / 50).then_some(regular)
}
