//! A full disk, failing reads and writes, and a disk that cannot be written: each has its own way out.

use std::time::Duration;

use super::{
    disk,
    rig::{Chance, Cloud, SIGNALS, column, drain, open, samples, totals},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Room is made below what the disk holds; the dear stays, and what came in meanwhile is not lost.
#[tokio::test]
async fn a_full_disk_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::under(folder.path());
    disk.lock().unwrap().room = Some(8 * 1024 * 1024);
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    let [critical, _, bulk] = SIGNALS.map(|signal| column(&buffer, signal));
    let mut chance = Chance::new(1);
    for n in 0..400 {
        let mut batch = samples(bulk, n * 2000, 2000);
        for sample in &mut batch {
            sample.raw = (chance.next() >> 8).cast_signed();
        }
        batch.extend(samples(critical, n, 1));
        buffer.push(batch).await.unwrap();
        buffer.flush().await.unwrap();
    }
    let mut state = buffer.state();
    let well = state.wait_for(|state| state.failing.is_none());
    drop(tokio::time::timeout(PATIENCE, well).await.unwrap().unwrap());
    buffer.flush().await.unwrap();
    let found = totals(&buffer);
    assert_eq!(found.produced, 400 * 2001);
    assert!(found.thinned > 0, "{found:?}");
    assert_eq!((found.damaged, found.refused), (0, 0));
    assert!(!buffer.state().borrow().volatile);
    disk.lock().unwrap().room = None;
    let mut cloud = Cloud::default();
    drain(&buffer, &mut cloud, 0).await;
    assert_eq!(cloud.absent(), found.dropped);
    let stored = cloud.all(0);
    assert!(
        (0..400).all(|raw| stored.contains(&raw)),
        "something critical is lost"
    );
}

/// After an error the database is opened anew; nothing that was committed or open is lost.
#[tokio::test]
async fn failing_operations_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::under(folder.path());
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    let columns = SIGNALS.map(|signal| column(&buffer, signal));
    let epoch = buffer.epoch();
    for n in 0..30i64 {
        disk.lock().unwrap().failing = u64::from(n % 3 == 1);
        buffer
            .push(samples(columns[n as usize % 3], n * 10, 10))
            .await
            .unwrap();
        buffer.flush().await.unwrap();
    }
    disk.lock().unwrap().failing = 0;
    buffer.flush().await.unwrap();
    assert_ne!(buffer.epoch(), epoch);
    let mut state = buffer.state();
    let back = state.wait_for(|state| !state.volatile && state.failing.is_none());
    drop(tokio::time::timeout(PATIENCE, back).await.unwrap().unwrap());
    let mut cloud = Cloud::default();
    drain(&buffer, &mut cloud, 0).await;
    assert_eq!(cloud.all(0), (0..300).collect());
    assert_eq!(totals(&buffer).acknowledged, 300);
}

/// Where nothing can be written the gateway goes on in memory and says so; when the disk is back all of it goes there.
#[tokio::test]
async fn a_read_only_disk_is_reported_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::under(folder.path());
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    let speed = column(&buffer, "Vehicle.Speed");
    buffer.push(samples(speed, 0, 10)).await.unwrap();
    buffer.flush().await.unwrap();
    disk.lock().unwrap().read_only = true;
    buffer.push(samples(speed, 10, 10)).await.unwrap();
    buffer.flush().await.unwrap();
    {
        let state = buffer.state();
        let state = state.borrow();
        assert!(state.volatile);
        assert!(
            state.failing.as_ref().unwrap().contains("in memory"),
            "{state:?}"
        );
    }
    buffer.push(samples(speed, 20, 10)).await.unwrap();
    buffer.flush().await.unwrap();
    let mut cloud = Cloud::default();
    drain(&buffer, &mut cloud, 0).await;
    assert_eq!(cloud.all(0), (10..30).collect());
    buffer.push(samples(speed, 30, 10)).await.unwrap();
    buffer.flush().await.unwrap();
    disk.lock().unwrap().read_only = false;
    let mut state = buffer.state();
    let back = state.wait_for(|state| !state.volatile);
    drop(tokio::time::timeout(PATIENCE, back).await.unwrap().unwrap());
    drain(&buffer, &mut cloud, 0).await;
    assert_eq!(cloud.all(0), (0..40).collect());
    assert_eq!(totals(&buffer).acknowledged, 40);
    assert_eq!(buffer.state().borrow().failing, None);
}

/// A gateway that starts on a disk it cannot write starts all the same.
#[tokio::test]
async fn a_read_only_disk_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::under(folder.path());
    disk.lock().unwrap().read_only = true;
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    assert!(buffer.state().borrow().volatile);
    let speed = column(&buffer, "Vehicle.Speed");
    buffer.push(samples(speed, 0, 10)).await.unwrap();
    buffer.flush().await.unwrap();
    assert_eq!(totals(&buffer).buffered, 10);
}

/// The fsyncs that the writer reckons with are those that happen, checkpoints included; and what a day writes is within
/// what a card bears for ten years.
#[tokio::test]
async fn fsyncs_and_bytes_are_what_they_are_taken_for() {
    // A card of 32 GB bears 3,000 writes of each cell; a third of that is left for what its controller moves about.
    const CARD: f64 = 32e9 * 3000.0 / 3.0;
    const ROUNDS: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::under(folder.path());
    let buffer = open(folder.path(), 64 << 20).await.unwrap();
    let live: Vec<u32> = (0..1000).map(|n| named(&buffer, n)).collect();
    let before = {
        let disk = disk.lock().unwrap();
        (disk.syncs, disk.written)
    };
    for round in 0..ROUNDS as i64 {
        // A second of the demo depot: 2,000 samples, half of them live; its blocks acknowledged as they come.
        let batch = live.iter().enumerate().flat_map(|(n, &column)| {
            [0, 500].map(|ms| edge::buffer::Sample {
                column,
                time_us: (round * 1000 + ms) * 1000,
                raw: round * (n as i64 % 7) + ms,
            })
        });
        buffer.push(batch.collect()).await.unwrap();
        buffer.flush().await.unwrap();
        if round % 20 == 0 {
            let said = super::rig::blocks(&buffer).await;
            let said = said.iter().map(|block| {
                edge::buffer::Settlement::Block(
                    block.number,
                    block.digest,
                    shared_protocol::Verdict::Stored,
                )
            });
            buffer.settle(said.collect()).await.unwrap();
        }
    }
    let (syncs, written) = {
        let disk = disk.lock().unwrap();
        (disk.syncs - before.0, disk.written - before.1)
    };
    let checkpoints = written / (2 << 20);
    let per_day = written as f64 / ROUNDS as f64 * 86_400.0;
    let years = CARD / (per_day * 365.25);
    println!(
        "{syncs} fsyncs in {ROUNDS} commits, {:.2} GB a day, a 32 GB card lasts {years:.0} years",
        per_day / 1e9
    );
    assert!(
        syncs <= ROUNDS + ROUNDS / 20 + 3 * (checkpoints + 1),
        "{syncs} fsyncs"
    );
    assert!(years >= 10.0, "{years:.1} years");
}

fn named(buffer: &edge::buffer::Buffer, n: u32) -> u32 {
    let speed = shared_protocol::catalogue()
        .by_name("Vehicle.Speed")
        .unwrap()
        .id;
    buffer.columns().number(&shared_protocol::Column {
        asset: format!("car-{n}").parse().unwrap(),
        source: shared_protocol::Source::Can,
        def: shared_protocol::SignalDef {
            signal: shared_protocol::SignalRef::Catalogue(speed),
            encoding: shared_protocol::Encoding::PLAIN,
        },
    })
}
