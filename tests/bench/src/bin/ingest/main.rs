//! `scripts/bench ingest`: sealed blocks become committed rows, beside a bare `COPY … BINARY` of the same rows into the
//! same table with the same indexes; and the way from MQTT (QoS 1) to the signed acknowledgement at 70 % of the highest
//! rate. On each database of `PATIO_TEST_DATABASE_URLS` (`plain=postgres://…`); the JSON line is that of the last.
//!
//! Gateways send live blocks of a second: 100 vehicles with 20 signals each.

mod depot;
mod rows;
mod wire;

use anyhow::{Context as _, Result};
use bench::Figures;
use platform::{
    migrate,
    testing::{TestDatabase, on_each_database},
};
use telemetry::prepare_storage;

fn main() -> Result<()> {
    std::env::var("PATIO_TEST_DATABASE_URLS").context(
        "name databases in PATIO_TEST_DATABASE_URLS, such as plain=postgres://user@host/database",
    )?;
    on_each_database(|database| async move {
        measure(&database)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:#}", database.label));
    });
    Ok(())
}

async fn measure(database: &TestDatabase) -> Result<()> {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), telemetry::room()]).await?;
    let server = prepare_storage(&db, jiff::Timestamp::now()).await?.server;
    println!("{server}");
    let rows = rows::measure(&db).await?;
    let wire = wire::measure(database, &db).await?;
    let mut figures = Figures::default();
    figures.add(
        "values_per_s",
        rows.values_per_s,
        "values of sealed blocks to committed rows",
    );
    figures.add(
        "copy_values_per_s",
        rows.copy_values_per_s,
        "bare COPY BINARY of the same rows",
    );
    figures.add(
        "ratio_to_copy",
        rows.values_per_s / rows.copy_values_per_s,
        "the first over the second",
    );
    figures.add(
        "blocks_per_s",
        wire.blocks_per_s,
        "highest rate, MQTT QoS 1 to acknowledgement",
    );
    figures.add(
        "ack_p99_ms",
        wire.ack_p99_ms,
        "publish to signed acknowledgement at 70 % of it",
    );
    figures.add(
        "bytes_per_value",
        rows.bytes_per_value,
        "table and indexes on disk",
    );
    figures.add(
        "offered_blocks_per_s",
        wire.offered_blocks_per_s,
        "the rate of that",
    );
    figures.add(
        "server_rss_mb",
        wire.rss_mb,
        "most memory of the server while flooded",
    );
    figures.add_text("flavour", &database.label, "what the last database offers");
    figures.print();
    Ok(())
}
