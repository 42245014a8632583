//! A disk that holds up whoever writes to it: another writer goes on in memory, and when the disk lets go all of it is there once.

use std::time::Duration;

use edge::buffer::Stuck;

use super::{
    disk,
    rig::{Cloud, column, drain, open, samples, totals},
};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn another_writer_takes_the_place_of_one_that_stands_still() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::under(folder.path());
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    let speed = column(&buffer, "Vehicle.Speed");
    let mut cloud = Cloud::default();
    buffer.push(samples(speed, 0, 10)).await.unwrap();
    buffer.flush().await.unwrap();
    drain(&buffer, &mut cloud, 0).await;

    disk.lock().unwrap().hanging = true;
    // One that asks while the writer stands still gets its answer from the other one.
    buffer.push(samples(speed, 10, 10)).await.unwrap();
    let asking = tokio::spawn({
        let buffer = buffer.clone();
        async move { buffer.flush().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!asking.is_finished());
    let epoch = buffer.epoch();
    buffer.replace_writer().unwrap();
    asking.await.unwrap().unwrap();
    assert!(buffer.epoch().counter > epoch.counter);
    assert!(buffer.state().borrow().volatile);
    buffer.push(samples(speed, 20, 10)).await.unwrap();
    buffer.flush().await.unwrap();
    drain(&buffer, &mut cloud, 0).await;
    assert_eq!(cloud.all(0), (0..10).chain(20..30).collect());
    // A third one would not help while the first one stands still.
    assert_eq!(buffer.replace_writer(), Err(Stuck));
    buffer.push(samples(speed, 30, 10)).await.unwrap();
    buffer.flush().await.unwrap();

    disk.lock().unwrap().hanging = false;
    let mut state = buffer.state();
    let back = state.wait_for(|state| !state.volatile && state.failing.is_none());
    drop(tokio::time::timeout(PATIENCE, back).await.unwrap().unwrap());
    drain(&buffer, &mut cloud, 0).await;
    assert_eq!(cloud.all(0), (0..40).collect());
    let found = totals(&buffer);
    assert_eq!((found.produced, found.acknowledged), (40, 40));
    // And the next one that stands still can be helped again.
    buffer.replace_writer().unwrap();
    buffer.push(samples(speed, 40, 10)).await.unwrap();
    buffer.stop().await.unwrap();
    let buffer = open(folder.path(), 1 << 30).await.unwrap();
    drain(&buffer, &mut cloud, 0).await;
    assert_eq!(cloud.all(0), (0..50).collect());
    assert_eq!(totals(&buffer).acknowledged, 50);
}
