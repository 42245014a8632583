//! Reads a TOML file and tells everything that is wrong with it.
//!
//! A [`Schema`] describes the keys of a file as data. From this one description come the checker, which reports
//! every fault at once with line, column and key ([`read`]), the text for people ([`reference()`]), a complete
//! file to start from ([`example()`]) and the JSON Schema for editors ([`json_schema`]). Checks that need more than
//! one key (references, sums) are the caller's; [`Spans`] lets them point at the line as well.
//!
//! | file | subject |
//! |---|---|
//! | `schema.rs` | the description: [`Schema`], [`Key`], [`Kind`] |
//! | `address.rs` | texts that say where something is reached: `host:port`, options |
//! | `amount.rs` | texts with a unit: durations and amounts of bytes |
//! | `collection.rs` | files of one kind, some of which ship inside the binary: [`Collection`] |
//! | `walk.rs` | a parsed file against its schema |
//! | `scalar.rs` | one value against its kind |
//! | `names.rs` | the key that was meant |
//! | `fault.rs` | [`Fault`], [`Faults`] and how they print |
//! | `spans.rs` | where each key stands: [`Spans`] |
//! | `answer.rs` | one value that was given as the answer to a question |
//! | `print.rs` | a value back as the text of its file |
//! | `reference.rs` | Markdown and example file from a schema |
//! | `json_schema.rs` | JSON Schema from a schema |
//!
//! Defaults stand in the schema alone: a missing key with a default is filled in before the file becomes a `T`,
//! so a `T` carries no `#[serde(default)]`; an optional key is an `Option`.

#![forbid(unsafe_code)]

mod address;
mod amount;
mod answer;
mod collection;
mod fault;
mod json_schema;
mod names;
mod print;
mod reference;
mod scalar;
mod schema;
mod spans;
mod walk;

use std::{fs::File, io::Read, path::Path};

use serde::de::DeserializeOwned;

pub use address::{HostPort, options};
pub use amount::{
    bytes, bytes_text, duration, duration_text, optional_duration, parse_bytes, parse_duration,
};
pub use answer::answer;
pub use collection::{Collection, Loader, is_path};
pub use fault::{Fault, Faults, Position};
pub use json_schema::json_schema;
pub use names::nearest;
pub use print::{print, same_value, value_text};
pub use reference::{example, reference};
pub use schema::{Key, Kind, Presence, Schema, Syntax};
pub use spans::{Spans, Texts};

/// Greatest size of a file that is read, in bytes; a depot of 200 stations needs about 40 kB.
pub const LARGEST_FILE: u64 = 16 << 20;

/// Reads a TOML file, checks it against its schema and returns it with the places of its keys.
///
/// # Errors
/// Every fault found: that the file cannot be read, or all faults of syntax and of keys, by line. Where the
/// syntax is broken no key is called missing, because it may stand in the part that could not be read.
pub fn read<T: DeserializeOwned>(
    path: &Path,
    schema: &'static Schema,
) -> Result<(T, Spans), Faults> {
    let text = text_of(path).map_err(|fault| Faults::from(vec![fault]))?;
    parse(path, &text, schema)
}

/// Like [`read`] with the text at hand; `path` is the name used in faults, and its folder is the one that
/// relative paths in the text start from.
pub fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    schema: &'static Schema,
) -> Result<(T, Spans), Faults> {
    parse_among(path, text, schema, None)
}

/// Like [`parse`]; with `among`, files that this one names are looked for there, by their paths, and never on the
/// disk: for texts of strangers.
pub fn parse_among<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    schema: &'static Schema,
    among: Option<Texts>,
) -> Result<(T, Spans), Faults> {
    let (table, spans, faults) = walk::walk(path, text, schema);
    let spans = spans.among(among);
    if !faults.is_empty() {
        return Err(Faults::from(faults));
    }
    match T::deserialize(toml::de::Deserializer::from(table)) {
        Ok(value) => Ok((value, spans)),
        // The schema admits what T does not: still a clear fault, with its line.
        Err(error) => {
            let fault = match error.span() {
                Some(span) => spans.fault_at(span.start, error.message()),
                None => Fault::of_file(path, error.message()),
            };
            Err(Faults::from(vec![fault]))
        }
    }
}

fn text_of(path: &Path) -> Result<String, Fault> {
    let unreadable = |error: std::io::Error| {
        let problem = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "it may not be read: permission denied".to_owned()
            }
            _ => format!("it cannot be read: {error}"),
        };
        Fault::of_file(path, &problem)
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(Fault::of_file(path, "expected a TOML file, found a folder"));
    }
    let mut content = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > LARGEST_FILE {
        let problem = format!("expected at most {}, found more", bytes_text(LARGEST_FILE));
        return Err(Fault::of_file(path, &problem));
    }
    String::from_utf8(content).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bad = error.as_bytes()[valid];
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        Fault {
            position: Some(Position::in_text(&before, before.len())),
            ..Fault::of_file(
                path,
                &format!("expected UTF-8 text, found the byte 0x{bad:02x}"),
            )
        }
    })
}
