//! Asking for jobs: in the business transaction, with keys, with priorities.

use std::{path::Path, time::Duration};

use jobs::{Enqueued, Priority, enqueue, enqueue_many};
use platform::testing::{assert_commented, on_each_database, prepare_all};

use crate::world::{Number, Running, World, Writer, quick};

#[test]
fn everything_is_commented_and_every_query_is_sound() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        assert_commented(&world.db, "jobs").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&world.db, &queries).await > 20);
    });
}

#[test]
fn a_job_lives_and_dies_with_the_transaction_that_asked() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let now = world.clock.now();

        let tx = world.db.tenant(&acme).await.unwrap();
        enqueue(&tx, Some(&acme), &Number::job(1), now)
            .await
            .unwrap();
        tx.rollback().await.unwrap();
        let tx = world.db.tenant(&acme).await.unwrap();
        enqueue(&tx, Some(&acme), &Number::job(2), now)
            .await
            .unwrap();
        let many = [Number { number: 3 }, Number { number: 4 }];
        let count = enqueue_many(&tx, Some(&acme), &many, Priority::Normal, now);
        assert_eq!(count.await.unwrap(), 2);
        tx.commit().await.unwrap();

        let worker = Running::start(world.worker(quick()).effect(Writer::new()));
        world.until_empty().await;
        worker.stop().await;
        let mut numbers = world.numbers().await;
        numbers.sort_unstable();
        assert_eq!(numbers, [2, 3, 4]);
    });
}

#[test]
fn nobody_asks_for_or_sees_a_job_of_another_organisation() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (acme, other) = (
            world.organization("acme").await,
            world.organization("other").await,
        );
        world.ask(Some(&acme), &Number::job(1)).await;
        world.ask(None, &Number::job(2)).await;

        let tx = world.db.tenant(&other).await.unwrap();
        let seen: i64 = tx
            .query_one("SELECT count(*) FROM jobs.job", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(seen, 0);
        let error = enqueue(&tx, Some(&acme), &Number::job(3), world.clock.now())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("row-level security") || error.contains("db error"),
            "{error}"
        );
        drop(tx);
        assert_eq!(world.count("SELECT count(*) FROM jobs.job").await, 2);
    });
}

#[test]
fn a_key_is_had_by_one_unfinished_job_which_runs_again_when_asked_for_while_it_runs() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (acme, other) = (
            world.organization("acme").await,
            world.organization("other").await,
        );
        let keyed = |number| Number::job(number).key("car-7");
        let first = world.ask(Some(&acme), &keyed(1)).await;
        assert!(matches!(first, Enqueued::New(_)));
        let second = world.ask(Some(&acme), &keyed(2)).await;
        assert_eq!(second, Enqueued::Already(first.id()));
        assert!(matches!(
            world.ask(Some(&other), &keyed(3)).await,
            Enqueued::New(_)
        ));

        // It waits, so it has not read anything yet: once is enough.
        let worker = Running::start(world.worker(quick()).effect(Writer::new()));
        world.until_empty().await;
        worker.stop().await;
        assert_eq!(world.count("SELECT count(*) FROM public.effects").await, 2);

        // It runs, and may have read what the caller has changed.
        let slow = jobs::New::of(&crate::world::Slow {
            number: 9,
            milliseconds: 300,
            fails: false,
        })
        .key("car-7");
        world.ask(Some(&acme), &slow).await;
        let worker = Running::start(world.worker(quick()).task(crate::world::Slowly));
        world
            .until(
                "it runs",
                "SELECT EXISTS (SELECT FROM jobs.job WHERE worker IS NOT NULL)",
            )
            .await;
        for _ in 0..3 {
            assert!(matches!(
                world.ask(Some(&acme), &slow).await,
                Enqueued::Already(_)
            ));
        }
        world.until_empty().await;
        worker.stop().await;
        assert_eq!(
            world
                .count("SELECT count(*) FROM public.effects WHERE number = 9")
                .await,
            2,
            "once for the first wish, once for the three that came while it ran"
        );
    });
}

#[test]
fn the_urgent_goes_first_and_nothing_before_its_time() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let later = world.clock.now() + Duration::from_secs(3600);
        for (number, priority) in [
            (1, Priority::Bulk),
            (2, Priority::Normal),
            (3, Priority::Urgent),
        ] {
            world
                .ask(Some(&acme), &Number::job(number).priority(priority))
                .await;
        }
        world
            .ask(
                Some(&acme),
                &Number::job(4).priority(Priority::Urgent).at(later),
            )
            .await;
        let one_by_one = jobs::Settings {
            concurrency: 1,
            ..quick()
        };
        let worker = Running::start(world.worker(one_by_one).effect(Writer::new()));
        world
            .until("three are done", "SELECT count(*) = 3 FROM public.effects")
            .await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(world.numbers().await, [3, 2, 1]);
        world.hand.advance(Duration::from_secs(3600));
        world.until_empty().await;
        assert_eq!(world.numbers().await, [3, 2, 1, 4]);
        worker.stop().await;
    });
}

#[test]
fn a_bell_brings_a_worker_at_once_that_looks_rarely() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let rarely = jobs::Settings {
            look: Duration::from_secs(600),
            ..quick()
        };
        let bell = jobs::Bell::listen(&world.url, "jobs");
        let worker = jobs::Worker::new(world.db.clone(), world.clock.clone(), bell, rarely);
        let worker = Running::start(worker.effect(Writer::new()));
        for number in 0..5 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            world.ask(Some(&acme), &Number::job(number)).await;
        }
        world.until_empty().await;
        worker.stop().await;
    });
}
