//! Decoding what vehicles say: broadcast CAN frames by DBC file, and answers of ECUs by diagnostic table. Nothing here
//! does I/O or reads a clock: bytes and texts in, readings out.
//!
//! A decoder puts out [`Reading`]s: the raw integer as it stood in the frame, and the number of its signal, whose
//! definition ([`shared_protocol::SignalDef`]) says what the integer means. Floats appear only at the edge, for people.
//!
//! | room | what it is for |
//! |---|---|
//! | [`profile`] | the vehicle profile: a file people write, its keys and its checks |
//! | [`dbc`] | DBC files, and frames decoded by them |
//! | [`diagnostic`] | answers to diagnostic requests, decoded by table |
//! | [`obdb`] | signal sets of the OBDb project as commands of a profile |
//! | [`capture`] | recorded answers of adapters, reassembled without guessing |
//! | [`log`] | recorded buses: GVRET, candump, ASC, TRC |
//! | [`offline`] | whole files decoded, for the command line |

pub mod capture;
pub mod dbc;
pub mod diagnostic;
mod exact;
pub mod log;
pub mod obdb;
pub mod offline;
pub mod profile;

/// One value as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Place of the signal in its decoder's list of signals.
    pub signal: u32,
    /// The raw integer; what it means is in the signal's definition.
    pub raw: i64,
}
