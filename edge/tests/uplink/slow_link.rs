//! A large backlog on a slow link: what is fresh passes it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    broker::{Broker, Manners, What},
    cloud,
    rig::{BULK, CRITICAL, LIVE, Rig, budget, noise},
};

/// 1 Mbit/s each way, and 25 ms.
const BYTES_PER_SECOND: f64 = 125_000.0;
const DELAY: Duration = Duration::from_millis(25);
const BACKLOG: usize = 20_000_000;

/// A link to this port of this machine; what does not fit on it waits in the kernel's buffers, as in a modem's.
async fn link(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_in, far_out));
            tokio::spawn(carry(far_in, near_out));
        }
    });
    own
}

async fn carry(from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (enter, mut leave) = mpsc::channel::<(Instant, Vec<u8>)>(1000);
    tokio::spawn(async move {
        while let Some((at, bytes)) = leave.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut free_at = Instant::now();
    let mut packet = [0; 1460];
    loop {
        let length = match from.try_read(&mut packet) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if from.readable().await.is_err() {
                    return;
                }
                // Only a link on which nothing waited has been idle; a late timer has not kept it so.
                free_at = free_at.max(Instant::now());
                continue;
            }
            Ok(length @ 1..) => length,
            _ => return,
        };
        free_at += Duration::from_secs_f64(length as f64 / BYTES_PER_SECOND);
        sleep_until(free_at).await;
        let packet = (free_at + DELAY, packet[..length].to_vec());
        if enter.send(packet).await.is_err() {
            return;
        }
    }
}

/// Blocks of about 30 kB that do not compress.
async fn pile_up(rig: &Rig, bytes: usize) -> usize {
    for seed in 0..(bytes / 28_000) as u64 {
        rig.seal(BULK, noise(seed, 5_000)).await;
    }
    rig.held().await.iter().map(|block| block.bytes.len()).sum()
}

struct Figures {
    name: &'static str,
    took: Vec<Duration>,
}

impl Figures {
    fn at(&self, percent: usize) -> Duration {
        self.took[(self.took.len() * percent / 100).min(self.took.len() - 1)]
    }

    fn print(&self) {
        println!(
            "{}: {} blocks, p50 {:.2} s, p99 {:.2} s, longest {:.2} s",
            self.name,
            self.took.len(),
            self.at(50).as_secs_f32(),
            self.at(99).as_secs_f32(),
            self.took[self.took.len() - 1].as_secs_f32(),
        );
    }
}

/// From the moment when a sample is there until the block with it is at the broker.
#[tokio::test]
async fn alarms_and_the_present_pass_twenty_megabytes_of_backlog() {
    let rig = Rig::new();
    let piled = pile_up(&rig, BACKLOG).await;
    assert!(piled >= BACKLOG, "{piled}");
    let cloud = Arc::new(rig.cloud());
    let mut broker = Broker::start(vec![Manners::default()], Some(cloud.clone())).await;
    let port = link(broker.port).await;
    let uplink = rig.uplink(port, &cloud);
    broker.block().await;
    let start = Instant::now();
    // As long as there is backlog.
    let duration = budget().min(Duration::from_secs(120));
    // Values tell which sample it was: even ones are alarms.
    let mut made: HashMap<i64, Instant> = HashMap::new();
    let mut took = HashMap::new();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut number = 0;
    let mut finished = None;
    while start.elapsed() < duration || !made.is_empty() {
        tokio::select! {
            _ = tick.tick(), if start.elapsed() < duration => {
                number += 2;
                made.insert(number, Instant::now());
                rig.seal(CRITICAL, [number]).await;
                if number % 10 == 0 {
                    made.insert(number + 1, Instant::now());
                    rig.seal(LIVE, [number + 1]).await;
                }
            }
            seen = broker.next() => if let What::Message(message) = seen.what
                && !message.topic.ends_with("/bulk") && !message.topic.ends_with("/hello")
            {
                for value in cloud::values(&message.payload) {
                    if let Some(made) = made.remove(&value) {
                        took.insert(value, seen.at - made);
                    }
                }
            }
        }
        if finished.is_none() && start.elapsed() >= duration {
            finished = Some((start.elapsed(), cloud.bytes()));
        }
    }
    let report = uplink.stop().await;
    let of = |name, alarms| {
        let mut took: Vec<_> = took
            .iter()
            .filter(|(number, _)| (*number % 2 == 0) == alarms)
            .map(|(_, took)| *took)
            .collect();
        took.sort();
        Figures { name, took }
    };
    let (critical, live) = (of("critical", true), of("live", false));
    let (elapsed, carried) = finished.unwrap();
    let used = carried as f64 / elapsed.as_secs_f64() / BYTES_PER_SECOND;
    critical.print();
    live.print();
    println!(
        "backlog {:.1} MB on 1 Mbit/s: {:.1} MB carried in {:.0} s, {:.0} % of the link",
        piled as f64 / 1e6,
        carried as f64 / 1e6,
        elapsed.as_secs_f64(),
        used * 100.0
    );
    let most = Duration::from_secs(2);
    assert!(critical.at(99) <= most && live.at(99) <= most);
    assert!(used > 0.8, "the link was left idle");
    assert_eq!((report.connections, report.resent), (1, 0), "{report:?}");
}
