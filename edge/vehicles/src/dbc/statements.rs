//! The text of a DBC file cut into statements, each with its line, so that a bad one is lost alone.

use std::borrow::Cow;

/// Keywords that begin a statement. `SG_` begins one inside a message; `NS_` lists keywords and is skipped whole.
const KEYWORDS: [&str; 28] = [
    "VERSION",
    "NS_",
    "BS_",
    "BU_",
    "BO_",
    "SG_",
    "VAL_TABLE_",
    "BO_TX_BU_",
    "EV_",
    "ENVVAR_DATA_",
    "SGTYPE_",
    "CM_",
    "BA_DEF_",
    "BA_DEF_REL_",
    "BA_DEF_DEF_",
    "BA_DEF_DEF_REL_",
    "BA_DEF_SGTYPE_",
    "BA_",
    "BA_REL_",
    "BA_SGTYPE_",
    "VAL_",
    "SIG_GROUP_",
    "SIG_VALTYPE_",
    "SIGTYPE_VALTYPE_",
    "SG_MUL_VAL_",
    "CAT_DEF_",
    "CAT_",
    "FILTER",
];

/// One statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement<'t> {
    /// Its first word, one of [`KEYWORDS`].
    pub(super) keyword: &'static str,
    /// All of it.
    pub(super) text: &'t str,
    /// Line of its first word, from 1.
    pub(super) line: u32,
    /// Whether a quotation mark in it was never closed.
    pub(super) unclosed: bool,
}

/// What Windows-1252 has where Latin-1 has control characters: 0x80 to 0x9F (<https://encoding.spec.whatwg.org/index-windows-1252.txt>;
/// the five bytes that it leaves undefined stay what they are). A table of all the world's encodings is 150 kB on a gateway.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9F => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// The text of a file, and whether it had to be read as Windows-1252 because it is not UTF-8.
pub(super) fn text_of(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (bytes.iter().map(|&byte| windows_1252(byte)).collect(), true),
    }
}

/// Cuts a text into statements. A statement begins with a keyword at the beginning of a line outside quotation marks and
/// ends where the next one begins; lines before the first are given to nobody.
pub(super) fn split(text: &str) -> Vec<Statement<'_>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let offsets: Vec<usize> = lines
        .iter()
        .scan(0, |offset, line| {
            *offset += line.len();
            Some(*offset - line.len())
        })
        .collect();
    let mut statements: Vec<Statement<'_>> = Vec::new();
    let mut in_symbols = false;
    let mut quoted = false;
    // Where reading goes on if the string that is open now is never closed: the next line, and the statements so far.
    let mut after_opening = (0, 0);
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        if !quoted && let Some(keyword) = keyword_of(line) {
            // The list of NS_ is indented; the same words at the margin are statements.
            let listed = in_symbols && line.starts_with([' ', '\t']) && keyword != "SG_";
            if !listed {
                in_symbols = keyword == "NS_";
                statements.push(Statement {
                    keyword,
                    text: "",
                    line: index as u32 + 1,
                    unclosed: false,
                });
            }
        }
        let was_quoted = quoted;
        quoted = quoted_after(line, quoted);
        index += 1;
        // Strings of messages and signals end with their line; and `";` at the end of a line closes a string, where it
        // would have opened one.
        let one_line = statements
            .last()
            .is_some_and(|s| matches!(s.keyword, "BO_" | "SG_" | "VERSION"));
        if quoted && (one_line || line.trim_end().ends_with("\";")) {
            quoted = false;
            mark(&mut statements);
        }
        if quoted && !was_quoted {
            after_opening = (index, statements.len());
        }
        if quoted && index == lines.len() {
            let (next, so_far) = after_opening;
            statements.truncate(so_far);
            mark(&mut statements);
            quoted = false;
            index = next;
        }
    }
    let mut end = text.len();
    for statement in statements.iter_mut().rev() {
        let start = offsets[statement.line as usize - 1];
        statement.text = &text[start..end];
        end = start;
    }
    statements
}

fn mark(statements: &mut [Statement<'_>]) {
    if let Some(last) = statements.last_mut() {
        last.unclosed = true;
    }
}

fn keyword_of(line: &str) -> Option<&'static str> {
    let word_end = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let line = line.trim_start_matches([' ', '\t']);
    let word = line.split(word_end).next()?;
    KEYWORDS.into_iter().find(|&k| k == word)
}

fn quoted_after(line: &str, mut quoted: bool) -> bool {
    let mut escaped = false;
    for byte in line.bytes() {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b'/' if !quoted && line.trim_start().starts_with("//") => return false,
            _ => {}
        }
        escaped = quoted && byte == b'\\' && !escaped;
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords(text: &str) -> Vec<(&'static str, u32, bool)> {
        split(text)
            .into_iter()
            .map(|s| (s.keyword, s.line, s.unclosed))
            .collect()
    }

    #[test]
    fn statements_have_their_lines() {
        let text = "VERSION \"\"\r\n\r\nNS_ :\r\n\tCM_\r\n  BA_\r\nBS_:\r\nBO_ 1 A: 8 X\r\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" X\r\nCM_ \"a\r\nBO_ not one\r\n\";\r\n";
        assert_eq!(
            keywords(text),
            [
                ("VERSION", 1, false),
                ("NS_", 3, false),
                ("BS_", 6, false),
                ("BO_", 7, false),
                ("SG_", 8, false),
                ("CM_", 9, false)
            ]
        );
        assert!(split(text)[5].text.contains("not one"));
    }

    #[test]
    fn an_open_string_costs_one_statement() {
        let text = "BO_ 1 A: 8 X\n SG_ S : 0|8@1+ (1,0) [0|0] \"km X\n SG_ T : 8|8@1+ (1,0) [0|0] \"\" X\nCM_ \"5\" wide\";\nBO_ 2 B: 8 X\nCM_ \"open\nBO_ 3 C: 8 X\n";
        assert_eq!(
            keywords(text),
            [
                ("BO_", 1, false),
                ("SG_", 2, true),
                ("SG_", 3, false),
                ("CM_", 4, true),
                ("BO_", 5, false),
                ("CM_", 6, true),
                ("BO_", 7, false)
            ]
        );
    }

    #[test]
    fn windows_text_is_read() {
        let (text, windows) = text_of(b"\"\xB0C\"");
        assert_eq!((text.as_ref(), windows), ("\"\u{b0}C\"", true));
        assert_eq!(text_of(b"\xEF\xBB\xBFBO_").0, "BO_");
        assert_eq!(text_of(b"\x81\xB0").0, "\u{81}\u{b0}");
        assert_eq!(
            text_of(b"5 \x80, \x93\x9F\x94").0,
            "5 \u{20ac}, \u{201c}\u{178}\u{201d}"
        );
    }
}
