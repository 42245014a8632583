//! Doing jobs: retries, dead letters, effects once, stopping.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jobs::{Fault, New, Policy, Settings, dead, replay};
use platform::testing::on_each_database;

use crate::world::{Number, Running, Slow, Slowly, World, Writer, quick};

#[test]
fn what_fails_waits_as_the_policy_says_and_becomes_a_dead_letter_that_can_be_replayed() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let mended = Arc::new(AtomicU32::new(0));
        let looks = Arc::clone(&mended);
        let writer = Writer::then(move |_, attempt| {
            if looks.load(Ordering::SeqCst) == 1 {
                return Ok(());
            }
            match attempt {
                2 => panic!("even so"),
                _ => Err(Fault::Again("not yet".to_owned())),
            }
        });
        let worker = Running::start(world.worker(quick()).effect(writer));
        let id = world.ask(Some(&acme), &Number::job(1)).await.id();
        for (attempt, seconds, says) in [(1, 60, "not yet"), (2, 600, "panicked: even so")] {
            let waits = format!(
                "SELECT EXISTS (SELECT FROM jobs.job WHERE worker IS NULL AND attempt = {attempt} AND last_error LIKE '%{says}%'
                 AND run_at - '{}' BETWEEN make_interval(secs => {}) AND make_interval(secs => {seconds}))",
                world.clock.now(),
                f64::from(seconds) * 0.75
            );
            world.until("it waits for its next attempt", &waits).await;
            world
                .hand
                .advance(Duration::from_secs(seconds.try_into().unwrap()));
        }
        world
            .until("it is given up", "SELECT EXISTS (SELECT FROM jobs.dead)")
            .await;
        assert_eq!(
            world.numbers().await,
            [0_i64; 0],
            "what failed wrote nothing"
        );

        let tx = world.db.tenant(&acme).await.unwrap();
        let letters = dead(&tx, Some("test.number"), None, 10).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].id, letters[0].attempts), (id, 3));
        assert!(letters[0].reason.contains("not yet"));
        assert!(
            dead(&tx, Some("test.other"), None, 10)
                .await
                .unwrap()
                .is_empty()
        );
        drop(tx);

        // Another organisation can neither see nor replay it.
        let other = world.organization("other").await;
        let tx = world.db.tenant(&other).await.unwrap();
        assert!(dead(&tx, None, None, 10).await.unwrap().is_empty());
        assert!(
            replay(&tx, &[id], world.clock.now())
                .await
                .unwrap()
                .is_empty()
        );
        drop(tx);

        mended.store(1, Ordering::SeqCst);
        let tx = world.db.tenant(&acme).await.unwrap();
        assert_eq!(
            replay(&tx, &[id, 999], world.clock.now()).await.unwrap(),
            [id]
        );
        tx.commit().await.unwrap();
        world
            .until(
                "it is done",
                "SELECT count(*) = 1 FROM public.effects WHERE attempt = 1",
            )
            .await;
        assert_eq!(world.count("SELECT count(*) FROM jobs.dead").await, 0);
        worker.stop().await;
    });
}

#[test]
fn what_can_never_work_is_given_up_at_once() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let writer = Writer::then(|_, _| Err(Fault::Never("no such car".to_owned())));
        let worker = Running::start(world.worker(quick()).effect(writer));
        world.ask(Some(&acme), &Number::job(1)).await;
        world
            .until("it is given up", "SELECT EXISTS (SELECT FROM jobs.dead WHERE attempts = 1 AND reason = 'no such car')")
            .await;
        // A payload that is not of the kind, as an older program may have written it.
        let odd = "INSERT INTO jobs.job (kind, payload, priority, run_at, max_attempts, created_at)
                   VALUES ('test.number', '{\"n\": 1}', 1, '2026-01-01', 3, '2026-01-01')";
        world
            .db
            .system()
            .await
            .unwrap()
            .execute(odd, &[])
            .await
            .unwrap();
        world
            .until(
                "so is the other",
                "SELECT EXISTS (SELECT FROM jobs.dead WHERE reason LIKE 'the payload is not one of kind test.number%')",
            )
            .await;
        worker.stop().await;
    });
}

#[test]
fn what_a_task_settles_is_kept_although_it_failed() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let job = Slow {
            number: 5,
            milliseconds: 1,
            fails: true,
        };
        world.ask(Some(&acme), &New::of(&job)).await;
        let worker = Running::start(world.worker(quick()).task(Slowly));
        for _ in 0..2 {
            world
                .until("it waits", "SELECT EXISTS (SELECT FROM jobs.job WHERE worker IS NULL AND last_error = 'it said no')")
                .await;
            world.hand.advance(Duration::from_secs(600));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        world
            .until(
                "it is given up",
                "SELECT EXISTS (SELECT FROM jobs.dead WHERE attempts = 3)",
            )
            .await;
        assert_eq!(
            world.numbers().await,
            [5, 5, 5],
            "each attempt wrote what came of it"
        );
        worker.stop().await;
    });
}

#[test]
fn jobs_that_share_a_transaction_are_done_one_by_one_when_one_fails() {
    struct Together(Writer);
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Many {
        number: i64,
    }
    impl jobs::Job for Many {
        const KIND: &'static str = "test.many";
        const POLICY: Policy = Policy {
            together: 10,
            ..Number::POLICY
        };
    }
    impl jobs::Effect for Together {
        type Job = Many;
        async fn run(&self, job: Many, about: &jobs::About, tx: &jobs::Tx) -> Result<(), Fault> {
            let number = Number { number: job.number };
            jobs::Effect::run(&self.0, number, about, tx).await
        }
    }
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let many: Vec<Many> = (0..10).map(|number| Many { number }).collect();
        let tx = world.db.tenant(&acme).await.unwrap();
        jobs::enqueue_many(
            &tx,
            Some(&acme),
            &many,
            jobs::Priority::Bulk,
            world.clock.now(),
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let writer = Writer::then(|number, _| match number {
            7 => Err(Fault::Never("seven".to_owned())),
            _ => Ok(()),
        });
        let worker = Running::start(world.worker(quick()).effect(Together(writer)));
        world.until_empty().await;
        worker.stop().await;
        let mut numbers = world.numbers().await;
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 8, 9]);
        assert_eq!(world.count("SELECT count(*) FROM jobs.dead").await, 1);
    });
}

#[test]
fn a_worker_taken_for_dead_cannot_commit_what_it_did() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let job = Slow {
            number: 1,
            milliseconds: 3000,
            fails: false,
        };
        world.ask(Some(&acme), &New::of(&job)).await;
        let quiet = Settings {
            lease: Duration::from_secs(60),
            ..quick()
        };
        let slow = Running::start(world.worker(quiet).task(Slowly));
        world
            .until(
                "it runs",
                "SELECT EXISTS (SELECT FROM jobs.job WHERE worker IS NOT NULL)",
            )
            .await;
        // By the time of another's clock its sign of life is too old, and its job is taken back. Who does that looks often,
        // so it may be taken for dead itself: the job is another's then.
        let (clock, hand) = platform::Clock::by_hand(world.clock.now() + Duration::from_secs(120));
        let ahead = |settings| {
            let bell = jobs::Bell::silent();
            jobs::Worker::new(world.db.clone(), clock.clone(), bell, settings)
        };
        let looks_often = Settings {
            lease: Duration::from_millis(200),
            ..quick()
        };
        let undertaker = Running::start(ahead(looks_often));
        world
            .until(
                "it is taken back",
                "SELECT EXISTS (SELECT FROM jobs.job WHERE worker IS NULL)",
            )
            .await;
        undertaker.stop().await;
        let other = Running::start(ahead(quick()).task(Slowly));
        hand.advance(Duration::from_secs(10));
        world
            .until(
                "it runs elsewhere",
                "SELECT EXISTS (SELECT FROM jobs.job WHERE worker IS NOT NULL AND attempt = 2)",
            )
            .await;
        world.until_empty().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        slow.stop().await;
        other.stop().await;
        assert_eq!(world.numbers().await, [1], "one of them has written");
        assert_eq!(
            world.count("SELECT max(attempt) FROM public.effects").await,
            2
        );
    });
}

#[test]
fn a_worker_that_stops_ends_what_it_has_in_hand_and_gives_back_the_rest() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        for (number, milliseconds) in [(1, 200), (2, 60_000)] {
            let job = Slow {
                number,
                milliseconds,
                fails: false,
            };
            world.ask(Some(&acme), &New::of(&job)).await;
        }
        let patient = Settings {
            finish: Duration::from_millis(600),
            ..quick()
        };
        let worker = Running::start(world.worker(patient).task(Slowly));
        world
            .until(
                "both run",
                "SELECT count(*) = 2 FROM jobs.job WHERE worker IS NOT NULL",
            )
            .await;
        worker.stop().await;
        assert_eq!(world.numbers().await, [1]);
        assert_eq!(
            world
                .count("SELECT count(*) FROM jobs.job WHERE worker IS NULL AND attempt = 0")
                .await,
            1,
            "as if it had never been taken"
        );
        assert_eq!(world.count("SELECT count(*) FROM jobs.worker").await, 0);
    });
}
