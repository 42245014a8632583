//! Teltonika trackers: their codecs, and the server that they dial.
//!
//! | file | subject |
//! |---|---|
//! | `frame` | packets, TCP streams and UDP datagrams, no I/O |
//! | `record` | AVL records of codecs 8, 8 Extended and 16 |
//! | `message` · `imei` | commands and answers of codecs 12, 13 and 14; who a device is |
//! | `crc` · `bytes` · `error` | the checksum, reading numbers, what can be wrong |
//!
//! Bytes that are not right in every respect are refused whole: no record of theirs is used, none is acknowledged, and the
//! device sends them again.

mod bytes;
pub mod crc;
mod error;
mod frame;
mod imei;
mod message;
mod record;

pub use error::CodecError;
pub use frame::{Arrival, Datagram, MOST_DATA, Packet, Stream, login};
pub use imei::Imei;
pub use message::{Kind, Message, MessageCodec};
pub use record::{Element, Gnss, Record, RecordCodec, Value};
