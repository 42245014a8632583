//! The central system of a depot's charging stations, without I/O: OCPP 1.6J, 2.0.1, and of 2.1 what equals 2.0.1.
//!
//! A [`Station`] is a function of what it knows, what a frame says, and the time: frames and instants go in, [`Effect`]s
//! come out, to be carried out **in their order**. That order is what makes transactions safe: a [`Effect::Store`] stands
//! before the answer to what it stores, so a station that has its answer has its transaction on the gateway's disk. When
//! storing fails, the shell closes the connection and forgets the `Station`; the charging station sends again, and a new
//! `Station`, made from what *was* stored, finds out whether it knows it already.
//!
//! | file | what it is |
//! |---|---|
//! | `station` | one charging station: connection, boot, the way of a frame |
//! | `v16`, `v201` | what each version's requests mean and how they are answered |
//! | `transaction` | what is remembered of transactions: keys, registers, sequence numbers |
//! | `observe` | transactions of a station that tells none, made of its status and its register |
//! | `meter` | sampled values become readings of the catalogue's signals: defaults, units, phases, contexts |
//! | `authorize` | the list of tokens by which the gateway decides alone |
//! | `decode` | payloads become typed messages, or errors with the version's own names; what is valid in an invalid one |
//! | `call` | requests to the station, and why one is refused |
//! | `lease` | limits that end by themselves, and what a station falls back to |
//! | [`composite`] | what a station may draw by all its profiles together, and what it says that it may |
//!
//! Messages, framing, message ids and the rule of one outstanding call are `ocpp-kit`'s ([`v1_6`], [`v2_0_1`]): its types are
//! generated from the official schemas, and the tests compare both directions with those schemas again.

mod authorize;
mod call;
pub mod composite;
mod decode;
mod lease;
mod meter;
mod observe;
mod station;
mod transaction;
mod v16;
mod v201;

pub use authorize::{AuthList, Standing, Token};
pub use call::{Call, Refusal};
pub use lease::Limit;
pub use meter::{Reading, Wh};
pub use observe::{Observer, Rest, Seen};
pub use ocpp_kit::{
    Version,
    engine::{Answer, CallFailure, CallToken},
    rpc::{CallError, ErrorCode},
    types::DateTime,
    v1_6, v2_0_1,
};
pub use station::{Effect, Note, Now, Policy, Station};
pub use transaction::{Entry, Memory, Said, Transaction, Write};
