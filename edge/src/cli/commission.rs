//! `edge commission`.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use edge::control::commission::{FALLS_BACK, desk};
use firmware_config::gateway::Gateway;
use shared_protocol::AssetKey;
use tokio::time::sleep;

use super::Failure;

/// Within this time a gateway that runs has seen what is asked.
const SEEN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// Asks the gateway that runs with this configuration to test a station, and waits for what it found.
pub(super) fn commission(config: &Path, station: &AssetKey) -> Result<(), Failure> {
    let gateway = Gateway::read(config).map_err(Failure::input)?;
    let depot = gateway.depot.ok_or_else(|| {
        Failure::Input(format!(
            "{}: expected [control], found none: this gateway holds no depot's limits",
            config.display()
        ))
    })?;
    if !depot.stations.iter().any(|one| one.id == *station) {
        let ids: Vec<_> = depot.stations.iter().map(|one| one.id.as_str()).collect();
        let known = ids.join(", ");
        return Err(Failure::Input(format!(
            "expected a station of the depot ({known}), found `{station}`"
        )));
    }
    let (wanted, outcome) = desk(&gateway.data, station);
    ask(&wanted, &outcome)
        .map_err(|error| Failure::Running(format!("{}: {error}", wanted.display())))?;
    println!(
        "{station}: it is told a limit while a car charges, then nothing more until its lease is over; this takes some minutes"
    );
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::running)?;
    let said = runtime.block_on(answer(&wanted, &outcome)).ok_or_else(|| {
        Failure::Running(format!(
            "{station}: no gateway runs with {}: start it first",
            config.display()
        ))
    })?;
    let line = format!("{station}: {said}");
    if !said.starts_with(FALLS_BACK) {
        return Err(Failure::Running(line));
    }
    println!("{line}");
    Ok(())
}

/// What the gateway found; `None` when none has seen that it is asked.
async fn answer(wanted: &Path, outcome: &Path) -> Option<String> {
    let asked = Instant::now();
    loop {
        sleep(LOOK).await;
        if let Ok(said) = fs::read_to_string(outcome) {
            return Some(said);
        }
        if asked.elapsed() > SEEN && wanted.exists() {
            // Nobody shall find it later.
            let _ = fs::remove_file(wanted);
            return None;
        }
    }
}

fn ask(wanted: &Path, outcome: &Path) -> io::Result<()> {
    if let Some(folder) = wanted.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(outcome) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::write(wanted, "")
}
