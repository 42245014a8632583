//! Schedules: each time once, however many workers keep them.

use std::time::Duration;

use jobs::{Schedule, ScheduleError, unschedule};
use platform::testing::on_each_database;

use crate::world::{Number, Running, World, Writer, quick};

#[test]
fn each_time_comes_once_however_many_workers_keep_it_and_what_was_missed_comes_once() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        // 12:00 UTC is 06:00 in Mexico City.
        let daily = Schedule::new("daily", "30 6 * * *", "America/Mexico_City", Number::job(1));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let worker = world.worker(quick()).effect(Writer::new());
                Running::start(worker.schedule(daily.clone()))
            })
            .collect();
        world
            .until(
                "it is kept",
                "SELECT EXISTS (SELECT FROM jobs.schedule WHERE next_at = '2026-03-02 12:30Z')",
            )
            .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(world.numbers().await.is_empty());

        world.hand.advance(Duration::from_secs(31 * 60));
        world
            .until("it ran", "SELECT count(*) = 1 FROM public.effects")
            .await;
        world
            .until("the next is known", "SELECT EXISTS (SELECT FROM jobs.schedule WHERE next_at = '2026-03-03 12:30Z' AND last_at = '2026-03-02 12:30Z')")
            .await;
        // Nobody looked for ten days.
        world.hand.advance(Duration::from_hours(240));
        world
            .until(
                "it ran once more",
                "SELECT count(*) = 2 FROM public.effects",
            )
            .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        for worker in workers {
            worker.stop().await;
        }
        assert_eq!(world.numbers().await, [1, 1]);
        let next = "SELECT count(*) FROM jobs.schedule WHERE next_at = '2026-03-13 12:30Z'";
        assert_eq!(world.count(next).await, 1);
    });
}

#[test]
fn a_schedule_is_the_organisation_s_own_and_keeps_its_next_time_when_nothing_changed() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (acme, other) = (
            world.organization("acme").await,
            world.organization("other").await,
        );
        let set = async |scope: &platform::Scope, cron: &str| {
            let tx = world.db.tenant(scope).await.unwrap();
            let schedule = Schedule::new("report", cron, "America/Tijuana", Number::job(7));
            let set = schedule
                .set(&tx, Some(scope.organization), world.clock.now())
                .await;
            if set.is_ok() {
                tx.commit().await.unwrap();
            }
            set
        };
        set(&acme, "0 8 * * *").await.unwrap();
        set(&other, "0 9 * * *").await.unwrap();
        world.hand.advance(Duration::from_hours(48));
        set(&acme, "0 8 * * *").await.unwrap();
        let kept = "SELECT count(*) FROM jobs.schedule WHERE next_at = '2026-03-02 16:00Z'";
        assert_eq!(
            world.count(kept).await,
            1,
            "the run that is due is not forgotten"
        );
        set(&acme, "0 7 * * *").await.unwrap();
        assert_eq!(world.count(kept).await, 0);
        assert!(matches!(
            set(&acme, "x").await,
            Err(ScheduleError::Cron { .. })
        ));

        let worker = Running::start(world.worker(quick()).effect(Writer::new()));
        world
            .until("the other's ran", "SELECT count(*) = 1 FROM public.effects")
            .await;
        worker.stop().await;
        let tx = world.db.tenant(&acme).await.unwrap();
        assert!(
            !unschedule(&tx, Some(other.organization), "report")
                .await
                .unwrap()
        );
        assert!(
            unschedule(&tx, Some(acme.organization), "report")
                .await
                .unwrap()
        );
        tx.commit().await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM jobs.schedule").await, 1);
    });
}
