//! Broken files and exactly what is said about each.

use std::{fmt::Write, path::Path};

use crate::yard::{YARD, Yard};
use config_file::parse;

/// The sound file that each case breaks in one place or several.
const SOUND: &str = r#"name = "North"

[gate]
width = 4.2
address = "gate.local:502"

[[lamp]]
id = "L1"
power = 40
"#;

/// What is broken, and how: texts of the sound file and what stands there instead.
const CASES: &[(&str, &[(&str, &str)])] = &[
    ("key misspelt", &[("width", "widht")]),
    (
        "key in another case, with a dash",
        &[("power = 40", "power = 40\nHours = [1]")],
    ),
    (
        "key of another table",
        &[("width", "level = \"info\"\nwidth")],
    ),
    (
        "key of the top written below a table",
        &[("width", "plan = \"a.svg\"\nwidth")],
    ),
    (
        "key that nothing is like",
        &[("power = 40", "power = 40\nhumidity = 3")],
    ),
    ("table misspelt", &[("[gate]", "[gaet]")]),
    ("key missing", &[("id = \"L1\"\n", "")]),
    ("key of the top missing", &[("name = \"North\"", "")]),
    (
        "table missing",
        &[("[gate]\nwidth = 4.2\naddress = \"gate.local:502\"\n", "")],
    ),
    ("text for a number", &[("40", "\"forty\"")]),
    ("number in quotes", &[("40", "\"40\"")]),
    ("number for a text", &[("\"North\"", "7")]),
    ("fraction for an integer", &[("40", "40.5")]),
    ("integer too large", &[("40", "2001")]),
    (
        "integer too large for any machine",
        &[("40", "99999999999999999999")],
    ),
    ("number too small", &[("4.2", "2.4")]),
    ("number that is none", &[("4.2", "nan")]),
    ("number without end", &[("4.2", "-inf")]),
    ("truth in quotes", &[("width", "open = \"true\"\nwidth")]),
    ("date for a truth", &[("width", "open = 2026-01-01\nwidth")]),
    (
        "duration without unit",
        &[("width", "delay = \"10\"\nwidth")],
    ),
    ("duration as a number", &[("width", "delay = 10\nwidth")]),
    (
        "duration with a unit of data",
        &[("width", "delay = \"10MB\"\nwidth")],
    ),
    ("duration too long", &[("width", "delay = \"2h\"\nwidth")]),
    (
        "bytes with an unknown unit",
        &[("[gate]", "[log]\nquota = \"2 gigs\"\n\n[gate]")],
    ),
    (
        "bytes too few",
        &[("[gate]", "[log]\nquota = \"512kB\"\n\n[gate]")],
    ),
    (
        "choice misspelt",
        &[("[gate]", "[log]\nlevel = \"information\"\n\n[gate]")],
    ),
    (
        "choice that nothing is like",
        &[("[gate]", "[log]\nlevel = \"loud\"\n\n[gate]")],
    ),
    (
        "text of the wrong form",
        &[("gate.local:502", "gate.local")],
    ),
    (
        "text of the wrong form, elsewhere",
        &[("gate.local:502", "gate.local:http")],
    ),
    (
        "decimal that is none",
        &[("power = 40", "power = 40\nscale = \"0,1\"")],
    ),
    (
        "decimal with too many digits",
        &[("power = 40", "power = 40\nscale = 0.1234567890123456789")],
    ),
    (
        "value of none of two kinds",
        &[("power = 40", "power = 40\nmark = 12")],
    ),
    (
        "value of none of two kinds, a text",
        &[("power = 40", "power = 40\nmark = \"nome\"")],
    ),
    (
        "list that is too short",
        &[("power = 40", "power = 40\nhours = []")],
    ),
    (
        "value for a list",
        &[("power = 40", "power = 40\nhours = 18")],
    ),
    (
        "wrong value in a list",
        &[("power = 40", "power = 40\nhours = [18, 24, \"x\"]")],
    ),
    (
        "wrong value under a free key",
        &[(
            "power = 40",
            "power = 40\ncolours = { red = 1, \"dark red\" = 256 }",
        )],
    ),
    ("table for an array of tables", &[("[[lamp]]", "[lamp]")]),
    ("array of tables for a table", &[("[gate]", "[[gate]]")]),
    (
        "value for a table",
        &[("name = \"North\"", "name = \"North\"\nlog = 3")],
    ),
    (
        "values for an array of tables",
        &[
            ("name = \"North\"", "name = \"North\"\nlamp = [1]"),
            ("[[lamp]]\nid = \"L1\"\npower = 40\n", ""),
        ],
    ),
    (
        "fault in an inner table",
        &[(
            "power = 40",
            "power = 40\n\n[[lamp.bulb]]\nsocket = \"E27\"\n\n[[lamp.bulb]]\nsocket = \"E28\"",
        )],
    ),
    (
        "text with a line break",
        &[("\"North\"", "\"\"\"North\nSouth\"\"\"")],
    ),
    (
        "empty text and empty path",
        &[("\"North\"", "\"\"\nplan = \"\"")],
    ),
    (
        "key given twice",
        &[("id = \"L1\"", "id = \"L1\"\nid = \"L2\"")],
    ),
    (
        "table given twice",
        &[("[[lamp]]", "[gate]\nopen = true\n\n[[lamp]]")],
    ),
    ("quotation mark missing", &[("\"North\"", "\"North")]),
    ("equals sign missing", &[("width = 4.2", "width 4.2")]),
    ("value missing", &[("width = 4.2", "width =")]),
    ("value without quotes", &[("\"North\"", "North")]),
    ("bracket missing", &[("[gate]", "[gate")]),
    (
        "list not closed",
        &[("power = 40", "power = 40\nhours = [18, 19")],
    ),
    (
        "syntax and meaning",
        &[
            ("\"North\"", "\"North"),
            ("width = 4.2", "widht = 4.2"),
            ("40", "\"forty\""),
        ],
    ),
    (
        "several at once, after characters of several bytes",
        &[
            ("\"North\"", "\"Niño\"\nplan = 3"),
            (
                "address = \"gate.local:502\"",
                "address = \"año\", colour = 1",
            ),
            ("40", "0"),
        ],
    ),
    (
        "several at once, in one line",
        &[(
            "[gate]\nwidth = 4.2\naddress = \"gate.local:502\"\n",
            "gate = { width = \"ñ\", address = \"x\", colour = 1 }\n",
        )],
    ),
];

#[test]
fn faults() {
    let mut report = String::new();
    for (name, changes) in CASES {
        let mut text = SOUND.to_owned();
        for (old, new) in *changes {
            assert_eq!(
                text.matches(old).count(),
                1,
                "{name}: `{old}` must stand once"
            );
            text = text.replace(old, new);
        }
        let faults = parse::<Yard>(Path::new("yard.toml"), &text, &YARD).expect_err(name);
        writeln!(report, "# {name}\n\n{}\n\n{faults}\n\n", text.trim_end()).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn the_sound_file_is_sound() {
    parse::<Yard>(Path::new("yard.toml"), SOUND, &YARD).unwrap();
}
