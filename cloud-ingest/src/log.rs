//! The log, on standard error: standard output belongs to results.

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging, for people (`text`) or programs (`json`). Ours at this level, libraries from warnings on; rumqttd
/// calls every disconnection an error, so it is heard only by who debugs.
pub fn start(level: &str, format: &str) {
    let broker = match level {
        "debug" | "trace" => "info",
        _ => "off",
    };
    let filter = format!(
        "warn,cloud_ingest={level},platform={level},access={level},audit={level},events={level},jobs={level},outbound={level},\
         vault={level},web={level},privacy={level},telemetry={level},depots={level},devices={level},teltonika={level},\
         geotab={level},transfer={level},rumqttd={broker}"
    );
    let log = fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr);
    // A second start, in a test, goes on with the first.
    let _ = match format {
        "json" => log.json().flatten_event(true).try_init(),
        _ => log.with_ansi(false).try_init(),
    };
}
