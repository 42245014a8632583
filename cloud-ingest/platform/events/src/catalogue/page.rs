//! The catalogue as a page in Markdown.

use std::fmt::Write as _;

use super::{Catalogue, Definition, Field, Kind};

const HEAD: &str = "# Events

Made of `catalogue.toml`. An event is told over webhooks and over the live stream as

```json
{\"id\": \"…\", \"type\": \"vehicle.ready\", \"version\": 1, \"timestamp\": \"2026-03-02T12:00:00Z\",
 \"subject\": \"vehicle:17\", \"sequence\": 41, \"request\": \"…\", \"data\": { … }}
```

`id` is the same at every delivery; `request` is the id of the request that set it off, which deliveries carry in
`x-request-id`, too. `sequence` counts the events of a subject without gaps, from 1: a delivery with a lower
one than the last has been overtaken. Fields may be added to `data` in the same version; whatever else changes is a new one.
";

pub(super) fn page(catalogue: &Catalogue) -> String {
    let mut page = HEAD.to_owned();
    for event in catalogue.events() {
        // Writing to a string does not fail.
        let _ = one(&mut page, event);
    }
    page
}

fn one(page: &mut String, event: &Definition) -> std::fmt::Result {
    let Definition {
        name,
        version,
        about,
        aggregate,
        permission,
        ..
    } = event;
    writeln!(page, "\n## `{name}`, version {version}\n\n{about}\n")?;
    writeln!(
        page,
        "Subject: `{aggregate}:…`. Who may read it: whoever has `{permission}`.\n"
    )?;
    writeln!(page, "| field | holds | meaning |\n|---|---|---|")?;
    for (name, field) in &event.fields {
        let optional = if field.optional {
            ", may be missing"
        } else {
            ""
        };
        writeln!(
            page,
            "| `{name}` | {}{optional} | {} |",
            holds(field),
            field.about
        )?;
    }
    let example = serde_json::to_string_pretty(&event.example()).unwrap_or_default();
    writeln!(page, "\n```json\n{example}\n```")
}

fn holds(field: &Field) -> String {
    match field.kind {
        Kind::Text => "text".to_owned(),
        Kind::Integer => "whole number".to_owned(),
        Kind::Number => "number".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Time => "time, RFC 3339".to_owned(),
        Kind::Money => "amount in minor units, with its currency (ISO 4217)".to_owned(),
        Kind::Choice => format!("one of `{}`", field.choices.join("`, `")),
    }
}
