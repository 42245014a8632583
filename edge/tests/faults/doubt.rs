//! A disk that fails in the middle of a commit, does not say whether it has it, and comes back later: what the commit carried is
//! there once, neither lost nor sealed a second time.

use super::{
    disk,
    rig::{Chance, Cloud, SIGNALS, column, drain, open, samples, seeds, totals},
};

async fn once(seed: u64) {
    let mut chance = Chance::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::under(folder.path());
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    let columns = SIGNALS.map(|signal| column(&buffer, signal));
    let mut next = 0;
    let mut push = async |chance: &mut Chance| {
        let count = 1 + chance.below(200) as i64;
        let column = columns[chance.below(3) as usize];
        buffer.push(samples(column, next, count)).await.unwrap();
        buffer.flush().await.unwrap();
        next += count;
    };
    for _ in 0..chance.below(4) {
        push(&mut chance).await;
    }
    {
        // Every place in a commit has its turn, and so have the steps of opening the database again.
        let mut disk = disk.lock().unwrap();
        disk.failing_from = Some(disk.operations + 1 + seed % 24);
        disk.gone = chance.below(2) == 0;
    }
    for _ in 0..4 + chance.below(6) {
        push(&mut chance).await;
    }
    disk.lock().unwrap().failing_from = None;
    // Stopping tries the disk once more.
    buffer.stop().await.unwrap();
    let mut cloud = Cloud::default();
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    assert!(!buffer.state().borrow().volatile, "seed {seed}");
    drain(&buffer, &mut cloud, seed).await;
    assert_eq!(cloud.all(seed), (0..next).collect(), "seed {seed}");
    let found = totals(&buffer);
    assert_eq!(
        (found.produced, found.acknowledged, found.dropped),
        (next.unsigned_abs(), next.unsigned_abs(), 0),
        "seed {seed}"
    );
    buffer.stop().await.unwrap();
}

#[tokio::test]
async fn a_commit_in_doubt_is_there_once() {
    seeds(
        "a commit in doubt",
        if std::env::var_os("PATIO_DEEP").is_some() {
            500
        } else {
            48
        },
        once,
    )
    .await;
}
