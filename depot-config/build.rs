//! Writes the tables of the files that ship: one ships by being in its folder.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

/// Folders and the names of their tables.
const FOLDERS: [(&str, &str); 4] = [
    ("devices", "devices"),
    ("tariffs/books", "books"),
    ("tariffs/holidays", "holidays"),
    ("tariffs/prices", "prices"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for (folder, table) in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        write_table(folder, table)?;
    }
    Ok(())
}

fn write_table(folder: &str, table: &str) -> Result<(), Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let name = path.file_stem().and_then(|name| name.to_str());
            names.push(name.ok_or("the name of a file must be UTF-8")?.to_owned());
        }
    }
    names.sort();
    let mut text = String::from("&[\n");
    for name in names {
        writeln!(
            text,
            "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))),",
            format!("/{folder}/{name}.toml")
        )?;
    }
    text.push_str("]\n");
    let written = PathBuf::from(env::var("OUT_DIR")?).join(format!("{table}.rs"));
    Ok(fs::write(written, text)?)
}
