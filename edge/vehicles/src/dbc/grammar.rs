//! One statement through `can-dbc`'s grammar, with what many files leave out put in before.

use can_dbc::DbcError;
use shared_protocol::Decimal;

use super::statements::Statement;

/// The parser gives an `f64`; its shortest text is the file's own number again.
pub(super) fn decimal(number: f64) -> Option<Decimal> {
    format!("{number:e}").parse().ok()
}

pub(super) fn parse(text: &str) -> Result<can_dbc::Dbc, String> {
    can_dbc::Dbc::try_from(text).map_err(|error| match error {
        DbcError::Pest(error) => error.variant.message().into_owned(),
        other => other.to_string(),
    })
}

/// The message's number: the word after the keyword. (`can-dbc` cuts numbers above 65535 without bit 31.)
pub(super) fn number_of(statement: &Statement<'_>) -> Result<u64, String> {
    let word = statement.text.split_whitespace().nth(1).unwrap_or_default();
    word.parse()
        .map_err(|_| format!("`{word}` is not the number of a message"))
}

pub(super) fn on_one_line(text: &str) -> String {
    let mut line = text.trim_end().replace(['\r', '\n'], " ");
    line.push('\n');
    line
}

/// Nobody asks who receives a signal, and many files leave it out, where the grammar wants a name.
pub(super) fn with_any_receiver(text: &str) -> String {
    let line = on_one_line(text);
    let mut quotes = line
        .match_indices('"')
        .filter(|&(at, _)| at == 0 || line.as_bytes()[at - 1] != b'\\');
    match (quotes.next(), quotes.next()) {
        (Some(_), Some((end, _))) => format!("{} Vector__XXX\n", &line[..=end]),
        _ => line,
    }
}

/// The same for a message's transmitter.
pub(super) fn with_any_transmitter(text: &str) -> String {
    let line = on_one_line(text);
    let Some((head, tail)) = line.split_once(':') else {
        return line;
    };
    let tail = tail.trim_start();
    let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        line
    } else {
        format!("{head}: {} Vector__XXX\n", &tail[..digits])
    }
}
