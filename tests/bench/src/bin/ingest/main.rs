//! `scripts/bench ingest`: sealed blocks become committed rows, beside a bare `COPY … BINARY` of the same rows into the
//! same table with the same indexes; and the way from MQTT (QoS 1) to the signed acknowledgement at 70 % of the highest
//! rate; and a backlog that 20 gateways bring in while they go on. On each database of `PATIO_TEST_DATABASE_URLS` (`plain=postgres://…`); the JSON line is that of the last.
//!
//! Gateways send live blocks of a second: 100 vehicles with 20 signals each. `scripts/bench ingest MINUTES`: of how many
//! minutes the backlog is, 60 when nothing is said, none for 0. `scripts/bench ingest --deep`: and a week's of one of the gateways.

mod backlog;
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

use backlog::{Away, Backlog};

fn main() -> Result<()> {
    std::env::var("PATIO_TEST_DATABASE_URLS").context(
        "name databases in PATIO_TEST_DATABASE_URLS, such as plain=postgres://user@host/database",
    )?;
    let (mut minutes, mut deep) = (60, false);
    for argument in std::env::args().skip(1) {
        if argument == "--deep" {
            deep = true;
            continue;
        }
        minutes = argument
            .parse()
            .with_context(|| format!("{argument} is neither --deep nor a number of minutes"))?;
    }
    on_each_database(move |database| async move {
        let hour = (minutes > 0).then_some(Away::all(minutes));
        let away: Vec<Away> = hour.into_iter().chain(deep.then_some(Away::WEEK)).collect();
        measure(&database, &away)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:#}", database.label));
    });
    Ok(())
}

async fn measure(database: &TestDatabase, away: &[Away]) -> Result<()> {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), telemetry::room()]).await?;
    let server = prepare_storage(&db, jiff::Timestamp::now()).await?.server;
    println!("{server}");
    let rows = rows::measure(&db).await?;
    let wire = wire::measure(database, &db).await?;
    let mut backlogs = Vec::new();
    for away in away {
        backlogs.push((*away, backlog::measure(database, &db, *away).await?));
    }
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
        "the first over the second; wanted: 0.6",
    );
    figures.add(
        "cpu_ns_per_value",
        rows.cpu_ns,
        "processor time of the first, this process and the server's",
    );
    figures.add(
        "copy_cpu_ns_per_value",
        rows.copy_cpu_ns,
        "the same of COPY",
    );
    figures.add(
        "blocks_per_s",
        wire.blocks_per_s,
        "highest rate, MQTT QoS 1 to acknowledgement",
    );
    figures.add(
        "ack_p99_ms",
        wire.ack_p99_ms,
        "publish to signed acknowledgement at 70 % of it; wanted: 1000",
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
        "most memory of the server while flooded; wanted: 300",
    );
    for (away, backlog) in &backlogs {
        add_backlog(&mut figures, *away, backlog);
    }
    figures.add_text("flavour", &database.label, "what the last database offers");
    figures.print();
    Ok(())
}

/// The keys of a week's backlog of one gateway begin with `week_`.
fn add_backlog(figures: &mut Figures, away: Away, backlog: &Backlog) {
    let prefix = if away.gateways == 1 { "week_" } else { "" };
    let rows = [
        (
            "backlog_minutes",
            away.minutes as f64,
            "that gateways were away",
        ),
        (
            "backlog_drained_s",
            backlog.drained_s,
            "until all of it was stored",
        ),
        (
            "backlog_blocks_per_s",
            backlog.blocks_per_s,
            "rate of that, the live ones beside it included",
        ),
        (
            "backlog_live_p50_ms",
            backlog.live_p50_ms,
            "live blocks of 20 gateways meanwhile, publish to signed acknowledgement",
        ),
        (
            "backlog_live_p99_ms",
            backlog.live_p99_ms,
            "the slowest; wanted: 2000",
        ),
        (
            "backlog_sent_again",
            backlog.again,
            "blocks without an answer within 10 s",
        ),
        (
            "backlog_server_rss_mb",
            backlog.rss_mb,
            "most memory of the server meanwhile",
        ),
    ];
    for (key, value, about) in rows {
        figures.add(&format!("{prefix}{key}"), value, about);
    }
}
