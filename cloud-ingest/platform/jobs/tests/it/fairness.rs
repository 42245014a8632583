//! One organisation's many jobs do not keep another's few waiting.

use std::time::Duration;

use jobs::{New, Priority, Settings, enqueue_many};
use platform::testing::on_each_database;

use crate::world::{Number, Running, Slow, Slowly, World, Writer, quick};

#[test]
fn a_hundred_thousand_jobs_of_one_organisation_do_not_starve_another() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (big, small) = (
            world.organization("big").await,
            world.organization("small").await,
        );
        let many: Vec<Number> = (0..100_000).map(|number| Number { number }).collect();
        let tx = world.db.tenant(&big).await.unwrap();
        enqueue_many(&tx, Some(&big), &many, Priority::Urgent, world.clock.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let worker = Running::start(world.worker(quick()).effect(Writer::new()));
        world
            .until("it is busy", "SELECT count(*) > 50 FROM public.effects")
            .await;
        let before = world.count("SELECT count(*) FROM public.effects").await;
        for number in 1..=10 {
            let bulk = Number::job(-number).priority(Priority::Bulk);
            world.ask(Some(&small), &bulk).await;
        }
        world
            .until(
                "the small one's are done",
                "SELECT count(*) = 10 FROM public.effects WHERE number < 0",
            )
            .await;
        worker.stop().await;
        let between = world
            .count("SELECT count(*) FROM public.effects WHERE number >= 0 AND at < (SELECT max(at) FROM public.effects WHERE number < 0)")
            .await
            - before;
        // The ten were asked for one after the other while the worker went on; then each claim shares evenly.
        assert!(
            between < 2000,
            "{between} jobs of the big one came before them"
        );
        assert!(world.count("SELECT count(*) FROM jobs.job").await > 50_000);
    });
}

#[test]
fn slow_jobs_of_one_organisation_leave_room_for_another() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (big, small) = (
            world.organization("big").await,
            world.organization("small").await,
        );
        for number in 0..40 {
            let slow = Slow {
                number,
                milliseconds: 60_000,
                fails: false,
            };
            world.ask(Some(&big), &New::of(&slow)).await;
        }
        let settings = Settings {
            finish: Duration::ZERO,
            ..quick()
        };
        let worker = world.worker(settings).task(Slowly).effect(Writer::new());
        let worker = Running::start(worker);
        world
            .until(
                "the big one's run",
                "SELECT count(*) >= 3 FROM jobs.job WHERE worker IS NOT NULL",
            )
            .await;
        world.ask(Some(&small), &Number::job(1)).await;
        world
            .until(
                "the small one's is done",
                "SELECT count(*) = 1 FROM public.effects",
            )
            .await;
        worker.stop().await;
        assert_eq!(world.count("SELECT count(*) FROM jobs.job").await, 40);
    });
}
