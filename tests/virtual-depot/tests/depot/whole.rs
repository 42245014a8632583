//! Everything at once: what a gateway's decoders make of the depot is the truth, value by value.

use std::time::Duration;

use virtual_depot::{Config, Depot, Fault, Plan, Rates, Truth, compare};

use crate::reader::{PATIENCE, Reader};

async fn run(
    config: Config,
    seconds: u64,
) -> (Truth, virtual_depot::Stored, virtual_depot::Summary) {
    let truth = config.dir.join("truth.jsonl");
    let depot = Depot::start(config).await.unwrap();
    let reader = Reader::start(depot.description());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    depot.pause().await;
    let (stored, stopped) = reader.finish(depot.stop()).await;
    let summary = stopped.unwrap();
    let truth = Truth::read(&truth).unwrap();
    assert_eq!(summary.given, truth.given() as u64);
    assert_eq!(summary.withheld, truth.withheld() as u64);
    (truth, stored, summary)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_gets_exactly_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path(), 42, 6, 4);
    config.setup.speed = 10.0;
    let (truth, stored, _) = run(config, 6).await;
    let report = compare(&truth, &stored);
    assert!(report.is_exact(), "{report}");
    assert!(report.total.produced > 2_500, "{report}");
    for source in ["can", "obd", "modbus"] {
        let columns = truth
            .columns
            .iter()
            .filter(|c| c.id.source == source && !c.given.is_empty());
        assert!(columns.count() > 40, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_cost_values_but_none_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path(), 7, 4, 4);
    config.setup.speed = 10.0;
    config.setup.plan = Plan::Charging;
    config.faults = Rates::default();
    config.faults.patience = PATIENCE;
    for fault in Fault::ALL {
        config.faults = config.faults.with(fault, 0.06);
    }
    let (truth, stored, summary) = run(config, 9).await;
    assert!(summary.withheld > 100, "{summary}");
    assert!(summary.faults.len() > 8, "{summary}");
    let report = compare(&truth, &stored);
    assert!(report.is_exact(), "{summary}: {report}");
}

#[tokio::test]
async fn a_pause_gives_nothing_and_moves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::start(Config::new(dir.path(), 1, 2, 2))
        .await
        .unwrap();
    let reader = Reader::start(depot.description());
    let given = || depot.summary().given;
    tokio::time::sleep(Duration::from_secs(2)).await;
    depot.pause().await;
    let (before, at) = (given(), depot.world().seconds());
    assert!(before > 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((given(), depot.world().seconds()), (before, at));
    depot.resume();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(given() > before && depot.world().seconds() > at);
    depot.pause().await;
    let (stored, stopped) = reader.finish(depot.stop()).await;
    stopped.unwrap();
    let report = compare(
        &Truth::read(&dir.path().join("truth.jsonl")).unwrap(),
        &stored,
    );
    assert!(report.is_exact(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_reader_kept_is_a_part_of_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::start(Config::new(dir.path(), 5, 3, 3))
        .await
        .unwrap();
    let reader = Reader::start(depot.description());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stored = reader.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let summary = depot.stop().await.unwrap();
    let truth = Truth::read(&dir.path().join("truth.jsonl")).unwrap();
    let report = compare(&truth, &stored);
    assert!(report.is_subsequence(), "{report}");
    assert!(
        report.total.stored > 200 && report.total.stored <= summary.given,
        "{report}"
    );
}
