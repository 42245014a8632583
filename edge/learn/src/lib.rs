//! What the bytes of an unknown car's bus mean: from a recording, and from what a technician read off the dashboard.
//! Pure: recordings in, ranked candidates out.
//!
//! A [`Reading`] says what the dashboard showed at an instant, and how finely. [`rank`] lays every window of bits of every
//! identifier (and of every page of a multiplexed one) over the readings and keeps those that a plain factor and offset
//! explain, the likeliest first. Each has a confidence between 0 and 1: how much better it is than the best candidate that
//! would give other values. What protects frames, [`counters`] and [`checksums`], is found without readings.
//!
//! Where somebody asked the car by the law's diagnostics while it was recorded, candidates are compared with what it said.
//!
//! What only an ECU's answers tell is found by [`rank_answers`]: the same identifiers were asked several times, and each time
//! the dashboard was read.
//!
//! Nothing learnt is certain: [`draft`] and [`draft_answers`] write vehicle profiles for people to look at.
//!
//! | file | what it is about |
//! |---|---|
//! | `recording.rs` | frames by identifier, windows of bits |
//! | `rank.rs` | which window explains the readings |
//! | `standard.rs` | what standard PIDs say of it |
//! | `answers.rs` | which bytes of an ECU's answers explain readings |
//! | `quantity.rs` | what is looked for: how finely it is coded, how fast it changes |
//! | `counter.rs` | counters |
//! | `checksum.rs` | sums, exclusive or, CRC-8 |
//! | `guard.rs` | both together |
//! | `draft.rs` | what was found, as files |

#![forbid(unsafe_code)]

mod answers;
mod checksum;
mod counter;
mod draft;
mod guard;
mod quantity;
mod rank;
mod recording;
mod standard;

pub use answers::{Found, Place, Round, draft_answers, rank_answers};
pub use checksum::{Checksum, Rule};
pub use counter::Counter;
pub use draft::{Draft, draft};
pub use guard::{Guards, guards};
pub use quantity::{
    LOW_VOLTAGE, ODOMETER, PACK_VOLTAGE, QUANTITIES, Quantity, STATE_OF_CHARGE, Standard,
};
pub use rank::{Candidate, Reading, rank};
pub use recording::{Order, Page, Recording, Window};
pub use standard::{Word, remark};
