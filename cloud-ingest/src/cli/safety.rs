//! `cloud-ingest audit …` and `cloud-ingest vault …`: whether the audit trail is as it was written, and the keys that seal
//! secrets.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use audit::Anchor;
use clap::Subcommand;
use vault::Ring;

use super::{Failure, Where};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Follow the audit trail of every organisation. Prints where each chain stands, a line each, to be kept elsewhere.
    /// Status 0 when every entry is as it was written, else 1.
    Verify {
        #[command(flatten)]
        place: Where,
        /// What an earlier verification printed: each chain must still contain it.
        #[arg(long, value_name = "FILE")]
        anchors: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Vault {
    /// Print a line for a key ring, with a new key. The last line of a ring is the key that seals.
    NewKey {
        /// Its number; none that was used before.
        number: u32,
    },
    /// Put every secret under the key that seals now; afterwards the others may be taken out of the ring.
    Rotate {
        #[command(flatten)]
        place: Where,
        /// The key ring.
        #[arg(long, value_name = "FILE")]
        ring: PathBuf,
    },
}

pub(super) async fn audit(command: Audit) -> Result<ExitCode, Failure> {
    let Audit::Verify { place, anchors } = command;
    let mut known = Vec::new();
    if let Some(file) = anchors {
        let text = read(&file)?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let anchor: Anchor = line
                .parse()
                .map_err(|error| Failure::bad_input(format!("{}: {error}", file.display())))?;
            known.push(anchor);
        }
    }
    let db = place.connect().await?;
    let report = audit::verify(&db, &known).await?;
    for anchor in &report.anchors {
        println!("{anchor}");
    }
    for finding in &report.findings {
        eprintln!("{finding}");
    }
    eprintln!(
        "{} entries, {} faults",
        report.entries,
        report.findings.len()
    );
    Ok(if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) async fn vault(command: Vault) -> Result<ExitCode, Failure> {
    match command {
        Vault::NewKey { number } => {
            let line = Ring::new_line(number).map_err(|error| Failure::run(error.to_string()))?;
            println!("{line}");
        }
        Vault::Rotate { place, ring } => {
            let keys = Ring::read(&read(&ring)?)
                .map_err(|error| Failure::bad_input(format!("{}: {error}", ring.display())))?;
            let db = place.connect().await?;
            let sealed = [
                events::webhooks::endpoints::SECRETS.as_slice(),
                geotab::PASSWORDS.as_slice(),
                access::SECRETS.as_slice(),
            ]
            .concat();
            let changed = vault::rotate(&db, &keys, &sealed)
                .await
                .map_err(|error| Failure::run(error.to_string()))?;
            println!("{changed} secrets are under key {} now", keys.active());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))
}
