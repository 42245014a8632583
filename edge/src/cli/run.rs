//! `edge run` and `edge check`.

use std::{path::Path, time::Duration};

use edge::gateway::{self, Around, Running};
use firmware_config::gateway::Gateway;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{filter::Targets, prelude::*};

use super::Failure;

/// How long the cloud may take to acknowledge a recording.
const PLAYED: Duration = Duration::from_secs(60);

pub(super) fn check(config: &Path) -> Result<(), Failure> {
    let gateway = Gateway::read(config).map_err(Failure::input)?;
    println!(
        "{}: gateway {} with {} vehicles and {} Modbus lines",
        config.display(),
        gateway.id,
        gateway.can.len(),
        gateway.modbus.len()
    );
    Ok(())
}

pub(super) fn run(
    config: &Path,
    around: &Around,
    report: bool,
    until_played: bool,
) -> Result<(), Failure> {
    let gateway = Gateway::read(config).map_err(Failure::input)?;
    let level = std::env::var("PATIO_LOG").unwrap_or_else(|_| gateway.log_level.clone());
    let wanted: Targets = level.parse().map_err(Failure::input)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(wanted))
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(Failure::running)?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::running)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::running)?;
        let mut running = gateway::start(gateway, around).map_err(Failure::input)?;
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = tick.tick(), if report => print(&running)?,
                ended = running.source_ended() => match ended {
                    Some(()) => {}
                    None if until_played => {
                        running.acknowledged(PLAYED).await;
                        break;
                    }
                    None => std::future::pending::<()>().await,
                },
            }
        }
        running.stop().await;
        Ok(())
    })
}

fn print(running: &Running) -> Result<(), Failure> {
    println!(
        "{}",
        serde_json::to_string(&running.status()).map_err(Failure::running)?
    );
    Ok(())
}
