//! Writes the tables of the vehicle profiles in `profiles` and of the DBC files beside them: what is there ships.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

const FOLDER: &str = "profiles";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed=build.rs");
    for (extension, written) in [("toml", "profiles.rs"), ("dbc", "dbcs.rs")] {
        let mut names = Vec::new();
        for entry in fs::read_dir(FOLDER)? {
            let path = entry?.path();
            if path.extension().is_some_and(|found| found == extension) {
                let name = path.file_stem().and_then(|name| name.to_str());
                names.push(
                    name.ok_or("the name of a profile must be UTF-8")?
                        .to_owned(),
                );
            }
        }
        names.sort();
        let mut table = String::from("&[\n");
        for name in names {
            writeln!(
                table,
                "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))),",
                format!("/{FOLDER}/{name}.{extension}")
            )?;
        }
        table.push_str("]\n");
        fs::write(PathBuf::from(env::var("OUT_DIR")?).join(written), table)?;
    }
    Ok(())
}
