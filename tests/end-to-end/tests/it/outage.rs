//! The gateway's metrics are samples, too: those of an outage arrive afterwards, with the times at which they were taken.

use std::time::{Duration, SystemTime};

use end_to_end::{
    check,
    house::{House, Options},
};

use crate::{databases, kills::drain, restored::report};

/// Reports of the gateway, one a second, while the cloud is away.
const AWAY: usize = 30;
/// How much the clocks of gateway and test may be apart: by what an acknowledgement takes on a busy machine.
const APART: Duration = Duration::from_secs(3);

/// The samples of a metric between two instants: when, in microseconds since 1970, and what.
async fn told(
    client: &tokio_postgres::Client,
    metric: &str,
    from: SystemTime,
    to: SystemTime,
) -> Vec<(i64, i64)> {
    let rows = client
        .query(
            "SELECT (extract(epoch FROM e.time) * 1000000)::bigint, e.raw FROM telemetry.extra e
             JOIN telemetry.extra_signal x ON x.id = e.signal_id JOIN platform.gateway_asset g ON g.asset_id = x.asset_id
             WHERE g.local_key = 'gateway' AND x.name = $1 AND e.time BETWEEN $2 AND $3 ORDER BY e.time",
            &[&metric, &from, &to],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_an_outage_arrive_with_their_times() {
    let Some((flavour, url)) = databases().into_iter().last() else {
        return;
    };
    println!("database: {flavour}");
    let folder = tempfile::tempdir().unwrap();
    let database_url = check::fresh_database(&url, "patio_outage").await.unwrap();
    let mut house = House::set_up(Options {
        folder: folder.path().to_owned(),
        database_url: database_url.clone(),
        cars: 1,
        chargers: 1,
        seed: 1,
        speed: 1.0,
        replay: None,
    })
    .await
    .unwrap();
    house.start_cloud().await.unwrap();
    house.start_edge_with(&["--metrics-every", "1"]).unwrap();
    report(&mut house, |report| {
        report.uplink.connected && report.sum(|stream| stream.acknowledged) > 100
    })
    .await;

    // The cloud goes away; then the devices do, and a counter of the gateway moves.
    house.stop_cloud().await.unwrap();
    report(&mut house, |report| !report.uplink.connected).await;
    let away = SystemTime::now() + APART;
    for _ in 0..AWAY / 3 {
        report(&mut house, |report| !report.uplink.connected).await;
    }
    let fault = SystemTime::now();
    house.stop_depot().await.unwrap();
    for _ in 0..AWAY {
        report(&mut house, |report| !report.uplink.connected).await;
    }
    let back = SystemTime::now() - APART;
    house.start_cloud().await.unwrap();
    drain(&mut house).await;
    house.stop_cloud().await.unwrap();

    let client = check::connect(&database_url).await.unwrap();
    let connected = told(&client, "edge_uplink_connected", away, back).await;
    assert!(
        connected.iter().all(|(_, raw)| *raw == 0),
        "the gateway was not connected: {connected:?}"
    );
    // What says how long the gateway runs says when it was taken.
    let up = told(&client, "edge_up_seconds", away, back).await;
    assert_eq!(up.len(), connected.len());
    assert!(up.len() > AWAY / 3, "{} samples of the outage", up.len());
    let starts = || up.iter().map(|(time, up)| time - up * 1_000_000);
    let spread = starts().max().unwrap() - starts().min().unwrap();
    assert!(
        spread <= 5_000_000,
        "they were not taken then: {spread} µs, {up:?}"
    );
    let failures = "edge_source_failures_total.charger-01";
    let before = told(&client, failures, away, fault).await;
    let after = told(&client, failures, fault, back).await;
    let (first, last) = (before.last().unwrap().1, after.last().unwrap().1);
    println!(
        "{} samples of each metric during the outage; {failures} went from {first} to {last}",
        up.len()
    );
    assert!(last > first, "{before:?} {after:?}");
    assert!(after.is_sorted_by_key(|(_, raw)| *raw), "{after:?}");

    let truth = house.path("depot").join("truth.jsonl");
    let buffer = house.path("buffer");
    let verdict = check::check(&database_url, &buffer, &truth).await.unwrap();
    assert!(
        verdict.is_conserved(),
        "{:?} {:?}",
        verdict.ledger,
        verdict.report
    );
}
