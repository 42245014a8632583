//! Text for people from a schema: a Markdown reference and a complete file to start from.

use std::fmt::Write;

use crate::{Key, Kind, Presence, Schema};

/// The reference of a file as Markdown: a section with a table of keys for the file and for each table in it.
pub fn reference(schema: &'static Schema) -> String {
    let mut text = format!("# {}\n\n{}\n", capital(schema.name), schema.about);
    section(&mut text, schema, "");
    text
}

/// A complete file that uses every key, made of the examples of the schema.
pub fn example(schema: &'static Schema) -> String {
    let mut text = String::new();
    keys(&mut text, schema, "");
    text
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

fn inner_path(path: &str, key: &Key) -> String {
    if path.is_empty() {
        key.name.to_owned()
    } else {
        format!("{path}.{}", key.name)
    }
}

fn tables(schema: &'static Schema) -> impl Iterator<Item = (&'static Key, &'static Schema, bool)> {
    schema.keys.iter().filter_map(|key| match key.kind {
        Kind::Table(inner) => Some((key, inner, false)),
        Kind::Tables(inner) => Some((key, inner, true)),
        _ => None,
    })
}

fn header(path: &str, many: bool) -> String {
    if many {
        format!("[[{path}]]")
    } else {
        format!("[{path}]")
    }
}

fn section(text: &mut String, schema: &'static Schema, path: &str) {
    let plain: Vec<_> = schema
        .keys
        .iter()
        .filter(|key| !matches!(key.kind, Kind::Table(_) | Kind::Tables(_)))
        .collect();
    if !plain.is_empty() {
        text.push_str("\n| Key | Value | Default | Example | Meaning |\n|---|---|---|---|---|\n");
        for key in plain {
            let default = match key.presence {
                Presence::Required => "*required*".to_owned(),
                Presence::Optional => "none".to_owned(),
                Presence::Default(default) => format!("`{}`", cell(default)),
            };
            line(
                text,
                format_args!(
                    "| `{}` | {} | {default} | `{}` | {} |",
                    key.name,
                    cell(&key.kind.expected(key.unit)),
                    cell(key.example),
                    cell(key.about)
                ),
            );
        }
    }
    for (key, inner, many) in tables(schema) {
        let path = inner_path(path, key);
        let presence = match (key.presence, many) {
            (Presence::Required, false) => "Required.",
            (Presence::Required, true) => "At least once.",
            (_, false) => "May be absent.",
            (_, true) => "As often as needed, or not at all.",
        };
        // What the table says about itself may repeat what its key says; it is then the longer of the two.
        let about = if inner.about.starts_with(key.about) {
            inner.about
        } else {
            key.about
        };
        line(
            text,
            format_args!("\n## `{}`\n\n{about} {presence}", header(&path, many)),
        );
        if !inner.about.starts_with(key.about) && !key.about.starts_with(inner.about) {
            line(text, format_args!("\n{}", inner.about));
        }
        section(text, inner, &path);
    }
}

fn keys(text: &mut String, schema: &'static Schema, path: &str) {
    for key in schema.keys {
        if !matches!(key.kind, Kind::Table(_) | Kind::Tables(_)) {
            line(text, format_args!("{} = {}", key.name, key.example));
        }
    }
    for (key, inner, many) in tables(schema) {
        let path = inner_path(path, key);
        let space = if text.is_empty() { "" } else { "\n" };
        line(text, format_args!("{space}{}", header(&path, many)));
        keys(text, inner, &path);
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a String takes every text");
    text.push('\n');
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
