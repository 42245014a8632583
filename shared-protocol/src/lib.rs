//! What edge and cloud say to each other: the catalogue of signals, blocks of samples, acknowledgements,
//! hellos and commands. Nothing here does I/O or reads a clock.
//!
//! - [`catalogue`] · [`decimal`] · [`column`]: what a signal is and how a raw integer becomes a value
//! - [`ids`]: who speaks (gateway), and the number of a block `(gateway, epoch, stream, seq)`
//! - [`block`] over [`samples`] over `packed`, `bits`: a sealed block and its columnar body
//! - [`message`]: acknowledgements, hellos and commands
//! - [`plan`]: what the cloud plans for a depot's stations, and assumes of cars that nobody knows
//! - [`station`]: what charging stations can be told to do
//! - [`envelope`]: the one signed, checksummed frame that carries all of them
//! - [`topic`]: where each of them travels over MQTT
//!
//! Everything is versioned by the envelope's version byte; `tests/golden` keeps the bytes of every version.
//! Decoding never panics and never allocates more than a small multiple of the input.

mod bits;
pub mod block;
pub mod catalogue;
pub mod column;
pub mod decimal;
pub mod envelope;
pub mod ids;
pub mod message;
mod packed;
pub mod plan;
pub mod samples;
pub mod station;
pub mod topic;
mod varint;

pub use block::{Block, BlockHeader, Body, Record, SealError};
pub use catalogue::{Catalogue, Class, Signal, SignalId, Standard, catalogue};
pub use column::{Column, Encoding, SignalDef, SignalRef, Source};
pub use decimal::Decimal;
pub use envelope::{Digest, OpenError, SigningKey, VerifyingKey};
pub use ids::{AssetKey, BlockNumber, Epoch, GatewayId, Stream};
pub use message::{Ack, Answer, Command, CommandBody, Hello, StreamState, Verdict};
pub use plan::{Assumed, Plan, Planned};
pub use samples::{SampleBody, Series};
pub use station::{Dialect, NoStationCommand, StationCommand, StationOrder, station_commands};
