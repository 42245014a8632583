//! A large backlog on a slow link: what is fresh passes it. How long that takes is measured by `scripts/bench uplink`; here
//! is the order.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    broker::{Broker, Manners, What},
    cloud,
    link::{BYTES_PER_SECOND, Link},
    rig::{CRITICAL, LIVE, Rig},
};

const BACKLOG: usize = 3_000_000;
const ALARMS: i64 = 40;
/// Two seconds of the link.
const MOST_BEFORE: usize = (2.0 * BYTES_PER_SECOND) as usize;

/// From the moment when a sample is there until the block with it is at the broker, no more of the backlog goes before it
/// than the link carries in two seconds.
#[tokio::test]
async fn alarms_and_the_present_pass_the_backlog() {
    let rig = Rig::new();
    let piled = rig.pile_up(BACKLOG).await;
    assert!(piled >= BACKLOG, "{piled}");
    let cloud = Arc::new(rig.cloud());
    let mut broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let link = Link::to(broker.port).await;
    let uplink = rig.uplink(link.port, &cloud);
    broker.block().await;
    // Values tell which sample it was: even ones are alarms. Of each, how much of the backlog had come when it was made.
    let mut made: HashMap<i64, usize> = HashMap::new();
    let mut before: Vec<usize> = Vec::new();
    let (mut number, mut backlog) = (0, 0);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    while number < 2 * ALARMS || !made.is_empty() {
        tokio::select! {
            _ = tick.tick(), if number < 2 * ALARMS => {
                number += 2;
                made.insert(number, backlog);
                rig.seal(CRITICAL, [number]).await;
                if number % 10 == 0 {
                    made.insert(number + 1, backlog);
                    rig.seal(LIVE, [number + 1]).await;
                }
            }
            seen = broker.next() => if let What::Message(message) = seen.what {
                if message.topic.ends_with("/bulk") {
                    backlog += message.payload.len();
                } else if !message.topic.ends_with("/hello") {
                    let fresh = cloud::values(&message.payload);
                    before.extend(fresh.iter().filter_map(|value| made.remove(value)).map(|at| backlog - at));
                }
            }
        }
    }
    let report = uplink.stop().await;
    before.sort_unstable();
    let most = before[before.len() - 1];
    println!(
        "{} fresh blocks; of {:.1} MB of backlog went before one: {} bytes in the middle, {most} at most",
        before.len(),
        piled as f64 / 1e6,
        before[before.len() / 2],
    );
    assert!(most <= MOST_BEFORE, "{before:?}");
    assert!(
        backlog > 0 && backlog < piled,
        "the backlog ended before the test"
    );
    assert_eq!((report.connections, report.resent), (1, 0), "{report:?}");
}
