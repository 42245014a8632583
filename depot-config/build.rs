//! Writes the table of the device maps in `devices`: a map ships by being there.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

const FOLDER: &str = "devices";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed=build.rs");
    let mut names = Vec::new();
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let name = path.file_stem().and_then(|name| name.to_str());
            names.push(name.ok_or("the name of a map must be UTF-8")?.to_owned());
        }
    }
    names.sort();
    let mut table = String::from("&[\n");
    for name in names {
        writeln!(
            table,
            "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))),",
            format!("/{FOLDER}/{name}.toml")
        )?;
    }
    table.push_str("]\n");
    let written = PathBuf::from(env::var("OUT_DIR")?).join(format!("{FOLDER}.rs"));
    Ok(fs::write(written, table)?)
}
