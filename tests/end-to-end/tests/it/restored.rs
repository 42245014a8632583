//! The cloud's database is lost, and one from an older backup takes its place: the gateway, which holds what was acknowledged
//! for as long as it has room, is asked for it again, and everything is there once.

use std::time::{Duration, Instant};

use end_to_end::{
    check,
    house::{House, Options},
    live::Report,
};

use crate::{databases, kills::drain};

const PATIENCE: Duration = Duration::from_secs(120);

/// Reads the gateway's reports until one is as wanted.
pub(crate) async fn report(house: &mut House, wanted: impl Fn(&Report) -> bool) -> Report {
    let deadline = Instant::now() + PATIENCE;
    let edge = house.edge.as_mut().unwrap();
    loop {
        let line = tokio::time::timeout(PATIENCE, edge.line()).await.unwrap();
        let report: Report = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(report.conserved(), "{report:?}");
        if wanted(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "{report:?}");
    }
}

/// Makes a database from another one, which takes its place if it is there. The server's own workers may be connected to
/// the model; they are sent away.
async fn copy(url: &str, model: &str, name: &str) {
    let client = check::connect(url).await.unwrap();
    client
        .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
        .await
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let copy = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{model}\"");
    let send_away = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    loop {
        client.execute(send_away, &[&model]).await.unwrap();
        match client.batch_execute(&copy).await {
            Ok(()) => return,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_restored_from_an_older_backup_gets_everything_again() {
    const DATABASE: &str = "patio_restored";
    const BACKUP: &str = "patio_restored_backup";
    let Some((flavour, url)) = databases().into_iter().last() else {
        return;
    };
    println!("database: {flavour}");
    let folder = tempfile::tempdir().unwrap();
    let database_url = check::fresh_database(&url, DATABASE).await.unwrap();
    let mut house = House::set_up(Options {
        folder: folder.path().to_owned(),
        database_url: database_url.clone(),
        cars: 2,
        chargers: 2,
        seed: 1,
        speed: 1.0,
        replay: None,
    })
    .await
    .unwrap();
    let acknowledged = |report: &Report| report.sum(|stream| stream.acknowledged);

    // Some is stored when the backup is made, and more afterwards.
    house.start_cloud().await.unwrap();
    house.start_edge().unwrap();
    let before = report(&mut house, |report| acknowledged(report) > 200).await;
    house.stop_cloud().await.unwrap();
    copy(&url, DATABASE, BACKUP).await;
    house.start_cloud().await.unwrap();
    let enough = acknowledged(&before) + 500;
    let after = report(&mut house, |report| acknowledged(report) > enough).await;
    house.stop_depot().await.unwrap();
    drain(&mut house).await;
    house.stop_cloud().await.unwrap();
    let complete = check::ledger(&house.path("buffer")).unwrap();
    assert!(complete.acknowledged >= acknowledged(&after));

    // The database is lost; of what the backup lacks the gateway is the only one that has it.
    copy(&url, BACKUP, DATABASE).await;
    let truth = house.path("depot").join("truth.jsonl");
    let buffer = house.path("buffer");
    let verdict = check::check(&database_url, &buffer, &truth).await.unwrap();
    assert!(
        verdict.stored < complete.acknowledged,
        "the backup lacks nothing: {verdict:?}"
    );
    println!(
        "{} samples were acknowledged, the backup has {}",
        complete.acknowledged, verdict.stored
    );
    house.start_cloud().await.unwrap();
    house.start_edge().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while stored(&database_url).await < complete.acknowledged {
        assert!(
            Instant::now() < deadline,
            "the gateway does not send them again"
        );
        report(&mut house, |_| true).await;
    }
    drain(&mut house).await;
    house.stop_cloud().await.unwrap();
    let verdict = check::check(&database_url, &buffer, &truth).await.unwrap();
    assert!(
        verdict.is_conserved(),
        "{:?} {:?}",
        verdict.ledger,
        verdict.report
    );
    check::connect(&url)
        .await
        .unwrap()
        .batch_execute(&format!("DROP DATABASE \"{BACKUP}\" WITH (FORCE)"))
        .await
        .unwrap();
}

/// Samples and records that the database has now.
async fn stored(database_url: &str) -> u64 {
    let client = check::connect(database_url).await.unwrap();
    let samples = check::stored(&client).await.unwrap();
    let records = client.query_one("SELECT count(*) FROM telemetry.record", &[]);
    let records: i64 = records.await.unwrap().get(0);
    samples.values().map(|raws| raws.len() as u64).sum::<u64>() + records.unsigned_abs()
}
