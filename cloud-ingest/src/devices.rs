//! Devices that are no gateways: the server of trackers, those that publish JSON, and whoever asks services for theirs.

use std::{io, sync::Arc};

use ::devices::Sink;
use geotab::poller::{self, Poller};
use outbound::Client;
use teltonika::server::{Server, Settings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vault::Ring;

use crate::{config, ingest::json::JsonDevices};

/// Everything of it that runs.
#[derive(Debug)]
pub struct Devices {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// Takes the address of the server of trackers, when one is wanted.
pub async fn bind(settings: Option<&Settings>) -> io::Result<Option<Server>> {
    match settings {
        Some(settings) => Server::bind(settings.clone()).await.map(Some),
        None => Ok(None),
    }
}

impl Devices {
    /// Starts it. MyGeotab is asked when there is a key ring that opens its passwords.
    pub fn start(
        sink: &Sink,
        server: Option<Server>,
        teltonika: &config::Teltonika,
        geotab: &config::Geotab,
        json: Option<JsonDevices>,
        ring: Option<Ring>,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        if let Some(server) = server {
            if let Ok(address) = server.address() {
                tracing::info!(%address, "trackers may dial");
            }
            tasks.spawn(server.run(sink.clone(), Arc::clone(&teltonika.elements), stop.clone()));
        }
        if let Some(json) = json {
            tasks.spawn(json.run(stop.clone()));
        }
        if let Some(ring) = ring {
            let settings = poller::Settings::every(geotab.every);
            let holder = format!("{:016x}", rand::random::<u64>());
            let client = Client::new(poller::RULES);
            let poller = Poller::new(sink.clone(), ring, client, settings, holder);
            tasks.spawn(poller.run(stop.clone()));
        }
        Self { tasks, stop }
    }

    /// Returns when something of it has ended although nobody stopped it.
    pub async fn broken(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(())) => "it ended".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => std::future::pending().await,
        }
    }

    /// Ends what is in hand and takes nothing more.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
