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

/// The counters of all identifiers, the longest of those that share bits.
pub fn counters(recording: &Recording) -> Vec<Counter> {
    let mut all = Vec::new();
    for id in recording.ids() {
        let frames = recording.frames(id);
        let bits = recording.length(id) as u8 * 8;
        if frames.len() < FRAMES {
            continue;
        }
        let mut taken = 0u64;
        for length in [16u8, 12, 8, 7, 6, 5, 4, 3, 2] {
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
    let (mut up, mut down, mut seen) = (0usize, 0usize, 0u64);
    for pair in frames.windows(2) {
        let (a, b) = (window.of(pair[0].1), window.of(pair[1].1));
        let delta = b.wrapping_sub(a) & (range - 1);
        up += usize::from(delta == 1);
        down += usize::from(delta == range - 1);
        seen |= 1 << (b * 16 / range.max(16)).min(63);
    }
    let steps = frames.len() - 1;
    let enough = u64::from(seen.count_ones()) >= range.min(16) * 3 / 4;
    // In two bits up by three is down by one; both directions of one bit are the same.
    let (count, step) = if up >= down { (up, 1) } else { (down, -1) };
    let regular = count as f64 / steps as f64;
    (enough && regular >= REGULAR).then_some((step, regular))
}
