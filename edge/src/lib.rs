//! The depot gateway: reads vehicles, chargers and meters, keeps every sample until the cloud has stored it.
//!
//! - [`sources`]: one folder per way into the depot (1 of the way of a sample, ARCHITECTURE.md)
//! - [`buffer`]: the SQLite store-and-forward ledger (2, 3)
//! - [`transactions`]: charging transactions until the buffer has them
//! - [`uplink`]: MQTT: publish blocks, take acknowledgements and commands (4, 5, 7)
//! - [`commands`]: carries out what the cloud asks for, once
//! - [`control`]: holds the depot's electrical limits
//! - [`page`]: shows the depot to whoever looks after it, and takes what they want
//! - [`clock`]: monotonic time for order, the time of day when it is known
//! - [`health`]: what the gateway tells about itself
//! - [`supervise`]: every loop moves, or is started again
//! - [`gateway`]: puts them together

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

pub mod buffer;
pub mod clock;
pub mod commands;
pub mod control;
pub mod gateway;
pub mod health;
pub mod page;
pub mod sources;
pub mod supervise;
pub mod transactions;
pub mod uplink;

/// Writes a file so that it is there whole or as it was, whatever happens meanwhile; returns when it is on the disk.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Waits until the gateway stops.
pub(crate) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // An error means that whoever could say so is gone: that is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
