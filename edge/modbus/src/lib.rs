//! Modbus devices read without ever lying: meters and chargers on serial lines, TCP and gateways. A reading that may
//! belong to another request, another unit or another time is an error, not a value.
//!
//! - [`map`]: the device map that people write; [`device`]: the same, checked
//! - [`mod@plan`]: points become requests; [`mod@decode`] over [`value`]: registers become readings
//! - [`codec`]: frames, pure; [`mod@line`]: one exchange at a time on a transport; [`fault`]: what can go wrong on it
//! - [`trust`]: whether the next answer can be told from earlier ones; [`mod@unit`]: whether it is the right device
//! - [`poller`]: what to poll next, a function of time; [`bus`]: the shell that does it, giving one [`cycle`] after the other
//! - [`setting`]: current limit, fail-safe current and watchdog of chargers as requests
//!
//! # What an accepted value proves
//!
//! An answer of Modbus RTU does not say which registers it holds. A unit that answers one request late gives from
//! then on the registers of the request before, as valid answers. Patio closes this as follows.
//!
//! 1. **One exchange at a time**, and every byte is accounted for. The one length the answer can have is known before
//!    it arrives. It must come from the unit that was asked, repeat the function, have exactly that length and a
//!    correct checksum; no byte may wait on the line before the request, and none may follow the
//!    answer: for at least 5 ms (RTU), or in what has come with it (TCP).
//! 2. **After any fault, and after a dropped future, the line is drained** until it has been silent for 50 ms (RTU), or
//!    the connection is closed and opened anew (TCP).
//! 3. **Neighbouring requests to a unit never have answers of the same shape** (function and length). Where the plan would
//!    have it so, a *sync read* is put between: a read whose answer differs in length from all others of the plan, by
//!    choice that of the identity register. After a fault, an exception or a new connection two sync reads of different
//!    shapes come first in any case, then the identity register and the guards are read back and compared; only then
//!    is a value accepted.
//!
//! **Guarantee.** If a unit (with the gateway in front of it) delivers its answers in the order in which it got the requests,
//! then an accepted answer is the answer to its own request, however late answers come, however many are lost, and
//! also when answers are repeated. Draining is not needed for this; it only saves retries. (A map that leaves only one
//! sync read has it made twice; then each answer may be repeated once.)
//!
//! *Why:* Let the answers up to request *n* − 1 have been accepted as their own requests'. What can still come from before
//! request *n* is then only a repetition of answer *n* − 1 (earlier ones would break the order), and its shape is not that
//! of *n*: so what is accepted is answer *n*. When it is not accepted, what can come later is, in this order, repetitions of
//! *n* − 1, answer *n*, answers to sync reads. Two sync reads in a row, of different shapes, are both accepted only when
//! answer *n* is past or lost: repetitions of *n* − 1 are all of one shape, and *n* itself is a sync read or has neither's
//! shape. From then on only answers to sync reads can come from before, and no other request has their shapes.
//!
//! **Assumptions**, beyond that order: a unit answers under its own address and from its registers at the time of the
//! request, not from an older copy; and damage is seen by the checksum. CRC-16/MODBUS sees every damage of up to three bits and every
//! burst of up to 16 bits in a frame; of other damage that keeps unit, function and length it misses 1 in 65,536. On [`Framing::Tcp`] answers are
//! numbered besides, and the order is not needed; on [`Framing::TcpGateway`] they are too, but the number proves only what
//! the gateway believes, so that the rules of RTU hold there.
//!
//! Exceptions carry no length: one that comes late may be reported for the wrong request. It is an error either way, and
//! the sync reads follow it.
//!
//! # Why not `tokio-modbus` underneath
//!
//! Requests, responses and exceptions are the types of `tokio-modbus` 0.17, and its TCP server is a peer in the tests. Its
//! clients are not used, because rules 1 and 2 cannot be kept with them: the RTU decoder takes the length from the answer
//! instead of from the request, hunts for a frame at every offset of what does not fit, throws away unread bytes
//! without a word, and gives the transport back to nobody who could drain it; the typed calls hold a wrong number of
//! registers to be impossible (a debug assertion); and each new TCP context counts its transactions from 0 again.

pub mod bus;
pub mod codec;
pub mod cycle;
pub mod decode;
pub mod device;
pub mod fault;
pub mod line;
pub mod map;
pub mod plan;
pub mod poller;
pub mod setting;
pub mod trust;
pub mod unit;
pub mod value;

pub use bus::{Bus, longest_silence};
pub use codec::Framing;
pub use cycle::{AddError, Cycle, SettingName, UnitError, WriteError};
pub use decode::{PointError, Reading, decode};
pub use device::Device;
pub use fault::Fault;
pub use line::{Line, Timing};
pub use map::{DeviceMap, Kind, Problem};
pub use plan::{Plan, plan};
pub use poller::{Next, Outcome, Poller};
