//! `edge keygen`.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use shared_protocol::SigningKey;

use super::Failure;

pub(super) fn keygen(out: &Path) -> Result<(), Failure> {
    let key = SigningKey::generate().map_err(Failure::running)?;
    let failed = |error| Failure::Input(format!("{}: {error}", out.display()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .map_err(failed)?;
    file.write_all(format!("{}\n", key.to_hex()).as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    println!("{}", key.verifying_key());
    Ok(())
}
