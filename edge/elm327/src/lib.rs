//! Adapters that speak the AT commands of the ELM327 (ELM Electronics, data sheet ELM327DS) as if they were a CAN bus:
//! frames and the time go in, texts for the adapter and frames from the vehicle come out. No I/O, no clock.
//!
//! Such adapters are a bus only in part: they send single frames, wait for answers, and send flow control themselves. So
//! an [`Adapter`] takes the frames of an [`isotp::Link`], sends its requests, and swallows its flow control. What it
//! gives back are frames with identifiers, exactly as they stood on the bus, or nothing: a line that was merged, cut or
//! marked as faulty by the adapter is counted, never repaired.
//!
//! Clones answer `?` to some commands. Each such answer takes one thing away, told by an [`Event`]: without `ATH1`, for
//! one, answers have no identifiers, and only requests to one ECU can be asked.
//!
//! | file | what it is about |
//! |---|---|
//! | `adapter.rs` | [`Adapter`]: one command at a time, its deadline, resets |
//! | `settings.rs` | what a request needs the adapter to be set to, and the commands that do it |
//! | `line.rs` | a line of an answer: a frame, a message of the adapter, damage |
//! | `route.rs` | [`Route`]: which identifier answers to which |

#![forbid(unsafe_code)]

mod adapter;
mod line;
mod route;
mod settings;

pub use adapter::{Adapter, Config, Event, Output, Refused};
pub use line::{Damage, Line, Message, read_line};
pub use route::Route;
