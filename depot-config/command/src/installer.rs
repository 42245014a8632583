//! What `sign` does, and what `check` says of signatures.

use std::{error::Error, fmt::Write as _, fs, io::ErrorKind, path::Path};

use config_file::{Fault, Faults};
use depot_config::{
    depot::Depot,
    ratings::{Ratings, beside, signed},
};
use shared_protocol::{SigningKey, VerifyingKey};

pub(crate) fn sign(file: &Path, key: &Path) -> Result<(), Box<dyn Error>> {
    let depot = Depot::read(file)?;
    let text = fs::read_to_string(key)
        .map_err(|error| format!("{}: it cannot be read: {error}", key.display()))?;
    let key = SigningKey::from_hex(&text)
        .map_err(|error| format!("{}: expected a secret key: {error}", key.display()))?;
    let path = beside(file);
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    // Whoever signs sees what they sign.
    let before = fs::read_to_string(&path).ok();
    let before = before.and_then(|text| Ratings::parse(&text).ok());
    let new = signed(&depot, &key).map_err(|error| said(&error))?;
    let ratings = Ratings::parse(&new).map_err(|error| said(&error))?;
    let partial = path.with_extension("ratings.new");
    fs::write(&partial, &new)
        .and_then(|()| fs::rename(&partial, &path))
        .map_err(|error| said(&format!("it cannot be written: {error}")))?;
    println!("{}: signed by {}", path.display(), ratings.key);
    match before {
        Some(before) if before.key == ratings.key => {
            for change in before.differences(&depot) {
                println!("  {change} before");
            }
        }
        Some(before) => println!("  it was signed by {} before", before.key),
        None => {}
    }
    Ok(())
}

/// What is to be said of a depot's ratings.
pub(crate) fn check(
    file: &Path,
    depot: &Depot,
    installer: Option<&VerifyingKey>,
) -> Result<String, Faults> {
    let path = beside(file);
    let fault = |problem: &str| Faults::from(vec![Fault::of_file(&path, problem)]);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(key) = installer else {
                return Ok("its ratings are unsigned: whoever writes the file can raise them (depot-config sign)".to_owned());
            };
            return Err(fault(&format!(
                "expected ratings signed by {key}, found no such file: have the installer sign them (depot-config sign)"
            )));
        }
        Err(error) => return Err(fault(&format!("it cannot be read: {error}"))),
    };
    let ratings = Ratings::parse(&text).map_err(|error| fault(&error.to_string()))?;
    if let Some(key) = installer.filter(|key| **key != ratings.key) {
        return Err(fault(&format!(
            "expected ratings signed by {key}, found a signature by {}",
            ratings.key
        )));
    }
    let differences = ratings.differences(depot);
    let refused = differences.iter().filter(|one| !one.allowed);
    let refused: Vec<_> = refused
        .map(|one| {
            let found = one.found.as_deref().unwrap_or("none");
            let problem = format!(
                "expected {}, found {found}: set it back, or have the installer sign anew (depot-config sign)",
                one.expected()
            );
            Fault::of_file(file, &problem)
        })
        .collect();
    Faults::check(refused)?;
    let mut said = format!("its ratings are signed by {}", ratings.key);
    for one in &differences {
        // Writing to a text cannot fail.
        let _ = write!(said, "\n    lower than signed: {one}");
    }
    Ok(said)
}
