//! Teltonika trackers: their codecs, and the server that they dial.
//!
//! | file | subject |
//! |---|---|
//! | `frame` | packets, TCP streams and UDP datagrams, no I/O |
//! | `record` | AVL records of codecs 8, 8 Extended and 16 |
//! | `message` · `imei` | commands and answers of codecs 12, 13 and 14; who a device is |
//! | [`avl`] | what elements mean, as data |
//! | [`server`] | the server, over TCP and UDP |
//! | [`metrics`](mod@metrics) | every metric with its cause and what to do |
//! | `crc` · `bytes` · `error` | the checksum, reading numbers, what can be wrong |
//!
//! Bytes that are not right in every respect are refused whole: no record of theirs is used, none is acknowledged, and the
//! device sends them again.

pub mod avl;
mod bytes;
pub mod crc;
mod error;
mod frame;
mod imei;
mod message;
pub mod metrics;
mod record;
pub mod server;

pub use error::CodecError;
pub use frame::{Arrival, Datagram, MOST_DATA, Packet, Stream, login};
pub use imei::Imei;
pub use message::{Kind, Message, MessageCodec};
pub use record::{Element, Gnss, Record, RecordCodec, Value};
