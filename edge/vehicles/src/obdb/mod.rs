//! Signal sets of the OBDb project (format version 3, JSON) as [commands](crate::profile::Command).
//!
//! [`import`] takes over what decoding and asking need and tells in [`Note`]s what it could not. Names stay OBDb's own:
//! a command is called `7E4.7EC.220101|fc=1`, as in OBDb's recordings, a signal by its id. With
//! [`Names::Catalogue`] signals for which the set suggests a metric become signals of the catalogue, in its unit.
//!
//! What the keys of a set are in a profile:
//!
//! | OBDb | profile |
//! |---|---|
//! | `hdr`, `pri`, `tst` | `request`: three digits are 11 bit; four are the middle of `pri hdr tst` (18 …, F1 if absent) |
//! | `rax` | `response`: three digits; two are the sender in `18DAF1xx`; six follow `pri` |
//! | `eax`, `tst` | `request_extension`, `response_extension` |
//! | `cmd` | `service`, `identifier` |
//! | `din`, `diagnosticLevel` | `session` |
//! | `tmo` | `timeout`, in steps of 4 ms as the ELM327 counts |
//! | `freq` | `every` in every state but asleep |
//! | `filter` | `years` |
//! | `fcm1` | nothing: flow control always goes to the ECU that was asked |
//! | `bix`, `len`, `blsb`, `sign`, `mul`, `div`, `add` | `bit`, `length`, `order`, `signed`, `multiply`, `divide`, `add` |
//! | `min` (0 if absent), `max` | `min`, `max` with `outside = "clamp"`; no bounds where `max` is not greater |
//! | `nullmin`, `nullmax` | `none_up_to`, `none_from` |
//! | `map` | `texts` |
//! | `dbg`, `dbgfilter`, `dout`, `omin`, `omax`, `oval`, `hidden`, texts, groups | nothing: they are about development or display |
//!
//! | file | what it is about |
//! |---|---|
//! | `import.rs` | [`import`]: a set into commands |
//! | `address.rs` | identifiers and names of commands |
//! | `format.rs` | a signal's format |
//! | `number.rs` | numbers of a JSON text as decimals |
//! | `catalogue.rs` | metrics that are signals of the catalogue |
//! | `note.rs` | [`Note`]: what could not be taken over |

mod address;
mod catalogue;
mod format;
mod import;
mod note;
mod number;

pub(crate) use address::parse_name;
pub use import::{ImportError, Imported, Names, import};
pub use note::{Note, NoteKind};
