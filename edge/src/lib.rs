//! The depot gateway: reads vehicles, chargers and meters, keeps every sample until the cloud has stored it.
//!
//! - [`sources`]: one folder per way into the depot
//! - [`buffer`]: the SQLite store-and-forward ledger
//! - [`uplink`]: MQTT: publish blocks, take acknowledgements
//! - [`clock`]: monotonic time for order, the time of day when it is known
//! - [`gateway`]: puts them together

pub mod buffer;
pub mod clock;
pub mod gateway;
pub mod sources;
pub mod uplink;

/// Waits until the gateway stops.
pub(crate) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // An error means that whoever could say so is gone: that is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
