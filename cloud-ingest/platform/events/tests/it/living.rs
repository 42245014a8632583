//! The live stream: what happens, as it happens, and what was missed.

use std::{sync::Arc, time::Duration};

use axum::response::IntoResponse as _;
use events::live::{Item, Live, Pace};
use futures::StreamExt as _;
use jobs::Bell;
use platform::{Db, testing::on_each_database};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::world::World;

fn live(db: &Db, bell: Bell, look: Duration) -> Live {
    let pace = Pace {
        look,
        ..Pace::DEFAULT
    };
    Live::new(db.clone(), bell, pace, CancellationToken::new())
}

fn names() -> Arc<[String]> {
    ["vehicle.ready".to_owned()].into()
}

#[test]
fn what_happens_is_told_as_it_happens_and_what_was_missed_afterwards() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (acme, other) = (
            world.organization("acme").await,
            world.organization("other").await,
        );
        let running = world.start(crate::world::World::client());
        world.ready(&acme, 1, 10.0).await;
        world
            .until("it is in the log", "SELECT count(*) = 1 FROM events.log")
            .await;

        // The bell alone brings it: the next look is far away.
        let bell = Bell::listen(&world.url, "events");
        let live = live(&world.db, bell, Duration::from_secs(600));
        let mut now = Box::pin(live.follow(acme.clone(), None, names()));
        let mut all = Box::pin(live.follow(acme.clone(), Some(0), names()));
        let mut theirs = Box::pin(live.follow(other.clone(), Some(0), names()));
        let first = timeout(Duration::from_secs(5), all.next())
            .await
            .unwrap()
            .unwrap();
        assert!(
            matches!(first, Item::Event { position: 1, .. }),
            "{first:?}"
        );
        let nothing = timeout(Duration::from_millis(300), now.next()).await;
        assert!(nothing.is_err(), "what was before is not told: {nothing:?}");
        for charge in 0..250_u8 {
            world.ready(&acme, 2, f64::from(charge)).await;
        }
        for (n, stream) in [&mut now, &mut all].into_iter().enumerate() {
            for position in 2..=251 {
                let item = timeout(Duration::from_secs(10), stream.next())
                    .await
                    .unwrap()
                    .unwrap();
                let Item::Event {
                    position: found,
                    told,
                    ..
                } = item
                else {
                    panic!("{item:?}")
                };
                assert_eq!(found, position, "stream {n}");
                assert_eq!(told["sequence"], position - 1);
            }
        }
        // Resumed in the middle, and with names that are not wanted.
        let mut resumed = Box::pin(live.follow(acme.clone(), Some(200), names()));
        let item = timeout(Duration::from_secs(5), resumed.next())
            .await
            .unwrap()
            .unwrap();
        assert!(
            matches!(item, Item::Event { position: 201, .. }),
            "{item:?}"
        );
        let unwanted: Arc<[String]> = ["payment.received".to_owned()].into();
        let mut none = Box::pin(live.follow(acme.clone(), Some(0), unwanted));
        assert!(
            timeout(Duration::from_millis(300), none.next())
                .await
                .is_err()
        );
        assert!(
            timeout(Duration::from_millis(100), theirs.next())
                .await
                .is_err()
        );
        drop(running);
    });
}

#[test]
fn what_was_forgotten_is_said() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        for vehicle in 0..5 {
            world.ready(&acme, vehicle, 1.0).await;
        }
        world.relay().round().await.unwrap();
        world.hand.advance(Duration::from_hours(31 * 24));
        world.ready(&acme, 9, 1.0).await;
        world.relay().round().await.unwrap();
        // Forgets the first five.
        let stop = tokio_util::sync::CancellationToken::new();
        let settings = jobs::Settings {
            look: Duration::from_millis(10),
            ..jobs::Settings::default()
        };
        let worker = jobs::Worker::new(
            world.db.clone(),
            world.clock.clone(),
            Bell::silent(),
            settings,
        )
        .effect(events::prune::Pruner)
        .schedule(events::prune::Prune::schedule());
        let task = tokio::spawn(worker.run(stop.clone()));
        world
            .until("it is kept", "SELECT count(*) = 1 FROM jobs.schedule")
            .await;
        world.hand.advance(Duration::from_hours(24));
        world
            .until("they are forgotten", "SELECT count(*) = 1 FROM events.log")
            .await;
        stop.cancel();
        task.await.unwrap().unwrap();

        let live = live(&world.db, Bell::silent(), Duration::from_millis(10));
        for (after, gap) in [(0, Some(5)), (4, Some(5)), (5, None), (77, Some(6))] {
            let mut stream = Box::pin(live.follow(acme.clone(), Some(after), names()));
            if let Some(position) = gap {
                assert_eq!(
                    stream.next().await.unwrap(),
                    Item::Gap { position },
                    "after {after}"
                );
            }
            if after < 6 {
                let item = stream.next().await.unwrap();
                assert!(matches!(item, Item::Event { position: 6, .. }), "{item:?}");
            }
        }
    });
}

#[test]
fn over_http_it_is_server_sent_events() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        for vehicle in 1..=3 {
            world.ready(&acme, vehicle, 1.0).await;
        }
        world.relay().round().await.unwrap();
        let live = live(&world.db, Bell::silent(), Duration::from_millis(10));
        for (header, first) in [(Some("1"), "id: 2"), (Some(" 0 "), "id: 1")] {
            let response = live.sse(acme.clone(), header, names()).into_response();
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let mut body = response.into_body().into_data_stream();
            let mut text = String::new();
            while !text.contains("id: 3") {
                let part = timeout(Duration::from_secs(5), body.next()).await.unwrap();
                text.push_str(std::str::from_utf8(&part.unwrap().unwrap()).unwrap());
            }
            assert!(text.starts_with("retry: 3000"), "{text}");
            let events: Vec<&str> = text
                .split("\n\n")
                .filter(|one| one.contains("data:"))
                .collect();
            assert!(
                events[0].contains(first) && events[0].contains("event: vehicle.ready"),
                "{text}"
            );
            assert!(events[0].contains("data: {\"id\":"), "{text}");
        }
    });
}

/// Nothing is read any more: it is closed, and whoever comes back goes on where it was.
#[test]
fn a_reader_that_does_not_read_is_closed_and_resumes() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        for vehicle in 1..=100 {
            world.ready(&acme, vehicle, 1.0).await;
        }
        world.relay().round().await.unwrap();
        let pace = Pace {
            look: Duration::from_millis(10),
            patience: Duration::from_millis(200),
            ..Pace::DEFAULT
        };
        let stop = CancellationToken::new();
        let live = Live::new(world.db.clone(), Bell::silent(), pace, stop.clone());
        let (mut last, mut rounds) = ("0".to_owned(), 0);
        let mut seen: Vec<u32> = Vec::new();
        while seen.len() < 100 {
            rounds += 1;
            let response = live.sse(acme.clone(), Some(&last), names()).into_response();
            let mut body = response.into_body().into_data_stream();
            if rounds == 1 {
                // Far longer than patience lasts; what is read afterwards is what was read ahead.
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            let mut text = String::new();
            while let Some(part) = timeout(Duration::from_secs(20), body.next()).await.unwrap() {
                text.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
                if text.contains("id: 100\n") {
                    break;
                }
            }
            let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
            let ids: Vec<u32> = ids.map(|id| id.parse().unwrap()).collect();
            last = ids.last().expect("some are read ahead").to_string();
            seen.extend(ids);
        }
        assert_eq!(seen, (1..=100).collect::<Vec<_>>(), "each once, in order");
        assert!(rounds > 1, "it was closed");

        // Nothing happens: comments say that both are there; then the service stops.
        let beating = Pace {
            heartbeat: Duration::from_millis(20),
            ..pace
        };
        let live = Live::new(world.db.clone(), Bell::silent(), beating, stop.clone());
        let response = live.sse(acme.clone(), None, names()).into_response();
        let mut body = response.into_body().into_data_stream();
        let mut text = String::new();
        while text.matches("\n\n").count() < 4 {
            let part = timeout(Duration::from_secs(20), body.next()).await.unwrap();
            text.push_str(std::str::from_utf8(&part.unwrap().unwrap()).unwrap());
        }
        assert!(text.contains(":\n\n") && !text.contains("id: "), "{text}");
        stop.cancel();
        let ended = async { while body.next().await.is_some() {} };
        timeout(Duration::from_secs(20), ended).await.unwrap();
    });
}
