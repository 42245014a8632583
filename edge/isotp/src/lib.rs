//! Diagnostics over CAN without I/O and without a clock: the transport protocol of ISO 15765-2:2016 (ISO-TP) and, on
//! top of it, the diagnostic services of ISO 14229-1 (UDS) and SAE J1979 / ISO 15031-5 (OBD).
//!
//! The gateway asks vehicles with it, and simulated vehicles answer with it: both ends are the same code. A caller
//! gives it frames and the time, and does what it returns; nothing here blocks, sleeps or panics on what it receives.
//!
//! *No wrong value*: a message is delivered whole or as an error, and an answer is taken only if it fits the request
//! that waits for it and began after that request was sent.
//!
//! | file | what it is about |
//! |---|---|
//! | [`frame`] | CAN identifiers and frames |
//! | [`address`] | who speaks to whom: normal, fixed, extended and mixed addressing, functional addresses |
//! | `config` | lengths, padding, flow control, timeouts |
//! | `error` | what can go wrong, in the standard's terms |
//! | `pdu`, `sender`, `receiver` | the frames' first bytes, and the two halves of a connection |
//! | `link` | [`Link`]: one connection, both ways |
//! | [`uds`] | requests, answers, trouble codes; [`uds::Client`] asks one ECU, [`uds::Group`] all at once |
//! | [`responder`] | an ECU from tables, for simulators |

pub mod address;
mod config;
mod error;
pub mod frame;
mod link;
mod pdu;
mod receiver;
pub mod responder;
mod sender;
pub mod uds;

pub use address::{Address, FunctionalAddress};
pub use config::{Config, ConfigError, StMin, Timeouts};
pub use error::{IgnoredFrame, ReceiveError, SendError, SubmitError};
pub use frame::{CanId, Frame, FrameError};
pub use link::{Link, Output};
