//! Workers are killed with SIGKILL at fifty points: nothing is lost, every effect is there once.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use jobs::{New, Priority, enqueue_many};
use platform::testing::on_each_database;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::world::World;

const KILLS: usize = 50;
const JOBS: i64 = 1500;
/// How many effects there are; -1 when nothing is due that could make more.
const NOT_AT_WORK: &str = "SELECT CASE WHEN EXISTS (SELECT FROM jobs.job WHERE run_at <= clock_timestamp()) \
     THEN (SELECT count(*) FROM public.effects) ELSE -1 END";

/// As `tests/victim.rs` has them.
#[derive(Serialize, Deserialize)]
struct Short {
    number: i64,
    follow: u8,
}

impl jobs::Job for Short {
    const KIND: &'static str = "test.short";
    const POLICY: jobs::Policy = jobs::Policy {
        attempts: 1000,
        ..jobs::Policy::DEFAULT
    };
}

#[derive(Serialize, Deserialize)]
struct Long {
    number: i64,
}

impl jobs::Job for Long {
    const KIND: &'static str = "test.long";
    const POLICY: jobs::Policy = Short::POLICY;
}

struct Victim(Child);

impl Victim {
    /// With a lease of so many milliseconds.
    fn start(url: &str, lease: u32) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_jobs-victim"))
            .args([url, &lease.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn killed_at_fifty_points_nothing_is_lost_and_every_effect_is_there_once() {
    on_each_database(|database| async move {
        let seed: u64 = rand::random();
        eprintln!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let world = World::on(&database).await;
        let scopes = [
            world.organization("acme").await,
            world.organization("other").await,
        ];
        for (at, scope) in scopes.iter().enumerate() {
            let first = at as i64 * 100_000;
            let shorts: Vec<Short> = (0..JOBS / 3)
                .map(|number| Short {
                    number: first + number,
                    follow: 1,
                })
                .collect();
            let tx = world.db.tenant(scope).await.unwrap();
            let now = jiff::Timestamp::now();
            enqueue_many(&tx, Some(scope), &shorts, Priority::Normal, now)
                .await
                .unwrap();
            for number in 0..JOBS / 3 {
                let long = Long {
                    number: first + 50_000 + number,
                };
                jobs::enqueue(&tx, Some(scope), &New::of(&long), now)
                    .await
                    .unwrap();
            }
            tx.commit().await.unwrap();
        }
        let mut busy = 0;
        for kill in 0..KILLS {
            let before = world.count("SELECT count(*) FROM public.effects").await;
            let victim = Victim::start(&world.url, 300);
            // Every other one at any point, its start included; the others while they work, however long a start takes.
            let began = Instant::now();
            while kill % 2 == 1
                && began.elapsed() < Duration::from_secs(5)
                && world.count(NOT_AT_WORK).await == before
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let alive = Duration::from_millis(random.random_range(1..140));
            tokio::time::sleep(alive).await;
            drop(victim);
            busy += usize::from(world.count("SELECT count(*) FROM public.effects").await > before);
        }
        eprintln!("{KILLS} killed, {busy} of them after they had written");
        // It is not taken for dead because the machine is busy.
        let survivor = Victim::start(&world.url, 6000);
        world.until_empty().await;
        drop(survivor);
        let twice = "SELECT count(*) FROM (SELECT FROM public.effects GROUP BY number HAVING count(*) > 1) AS t";
        assert_eq!(world.count(twice).await, 0, "seed {seed}");
        // Two organisations; a third each of short ones, of those that follow them, and of long ones.
        assert_eq!(
            world
                .count("SELECT count(DISTINCT number) FROM public.effects")
                .await,
            2 * JOBS,
            "seed {seed}"
        );
        assert_eq!(world.count("SELECT count(*) FROM jobs.dead").await, 0);
        assert!(
            world
                .count("SELECT count(*) FROM public.effects WHERE attempt > 1")
                .await
                > 0,
            "nobody was killed in the middle of a job: seed {seed}"
        );
    });
}
