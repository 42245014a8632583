//! Outgoing webhooks: signed, tried again, given up, replayed.

use std::time::Duration;

use events::{
    incoming::Verifier,
    webhooks::{
        EndpointError,
        endpoints::{Again, attempts, deliveries, enable, list, remove, replay},
        sign,
    },
};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use outbound::{
    Client, Rules,
    standin::{Act, Seen, StandIn},
};
use platform::{Scope, testing::on_each_database};

use crate::world::World;

async fn add(world: &World, scope: &Scope, url: &str) -> (i64, String) {
    let tx = world.db.tenant(scope).await.unwrap();
    let names = ["vehicle.ready", "gateway.offline"];
    let endpoints = world.endpoints();
    let made = endpoints.add(&tx, scope, url, &names, "the shift board", world.now());
    let made = made.await.unwrap();
    tx.commit().await.unwrap();
    made
}

/// As a receiver does it, with the library's other half.
fn verified(seen: &Seen, secret: &str, now: jiff::Timestamp) -> serde_json::Value {
    let headers: HeaderMap = seen
        .headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    let verifier = Verifier::new("patio", vec![sign::read_secret(secret).unwrap()]);
    verifier
        .verify(&headers, &seen.body, now)
        .unwrap()
        .json()
        .unwrap()
}

#[test]
fn an_event_is_delivered_signed_to_those_who_want_it() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let (acme, other) = (
            world.organization("acme").await,
            world.organization("other").await,
        );
        let (mine, theirs) = (StandIn::start([]).await, StandIn::start([]).await);
        let (endpoint, secret) = add(&world, &acme, &mine.url("/hook")).await;
        add(&world, &other, &theirs.url("/hook")).await;
        let running = world.start(crate::world::World::client());
        world.ready(&acme, 17, 86.5).await;
        world
            .until(
                "it is delivered",
                "SELECT count(*) = 1 FROM events.delivery WHERE state = 'delivered'",
            )
            .await;
        drop(running);
        let seen = mine.seen();
        assert_eq!((seen.len(), theirs.seen().len()), (1, 0));
        assert_eq!(
            (seen[0].line.as_str(), seen[0].header("content-type")),
            ("POST /hook", Some("application/json"))
        );
        let told = verified(&seen[0], &secret, world.now());
        assert_eq!(told["id"].as_str(), seen[0].header("webhook-id"));
        assert_eq!(
            (&told["type"], &told["subject"], &told["sequence"]),
            (&"vehicle.ready".into(), &"vehicle:17".into(), &1.into())
        );
        assert_eq!(told["data"]["state_of_charge"], 86.5);
        assert_eq!(told["timestamp"], "2026-03-02T12:00:00Z");

        let tx = world.db.tenant(&acme).await.unwrap();
        let log = deliveries(&tx, endpoint, None, None, 10).await.unwrap();
        assert_eq!(
            (log.len(), log[0].state.as_str(), log[0].attempts),
            (1, "delivered", 1)
        );
        let tried = attempts(&tx, log[0].id).await.unwrap();
        assert_eq!(
            (tried[0].status, tried[0].answer.as_deref()),
            (Some(200), Some("{}"))
        );
        drop(tx);
        let tx = world.db.tenant(&other).await.unwrap();
        assert!(
            deliveries(&tx, endpoint, None, None, 10)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(matches!(
            remove(&tx, endpoint).await,
            Err(EndpointError::Missing(_))
        ));
        drop(tx);
        let kept = "SELECT count(*) FROM events.endpoint WHERE position(convert_to('whsec', 'UTF8') IN secret) > 0 OR length(secret) < 100";
        assert_eq!(world.count(kept).await, 0, "secrets are sealed");
    });
}

#[test]
fn after_a_timeout_the_receiver_gets_it_again_under_the_same_id() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        // Two timeouts after the effect, a refusal, a redirect that nobody follows, and an answer.
        let receiver = StandIn::start([
            Act::HangUpAfter,
            Act::SilentAfter(Duration::from_secs(60)),
            Act::Answer(500, "out of order".to_owned()),
            Act::Redirect("http://127.0.0.1:1/".to_owned()),
        ])
        .await;
        let (endpoint, secret) = add(&world, &acme, &receiver.url("/")).await;
        let running = world.start(crate::world::World::client());
        world.ready(&acme, 17, 86.5).await;
        for (attempt, seconds) in [(1, 5), (2, 300), (3, 1800), (4, 7200)] {
            let waits = format!(
                "SELECT EXISTS (SELECT FROM jobs.job WHERE worker IS NULL AND attempt = {attempt}
                 AND run_at - '{}' BETWEEN make_interval(secs => 0.75 * {seconds}) AND make_interval(secs => {seconds}))",
                world.now()
            );
            world
                .until("it waits as the specification proposes", &waits)
                .await;
            world.hand.advance(Duration::from_secs(seconds));
        }
        world
            .until("it is delivered", "SELECT count(*) = 1 FROM events.delivery WHERE state = 'delivered' AND attempts = 5")
            .await;
        drop(running);
        let seen = receiver.seen();
        assert_eq!(seen.len(), 5);
        let first = verified(&seen[0], &secret, "2026-03-02T12:00:00Z".parse().unwrap());
        for one in &seen {
            assert_eq!(
                one.header("webhook-id"),
                first["id"].as_str(),
                "one effect for whoever looks at the id"
            );
            assert_eq!(one.body, seen[0].body);
        }
        assert_ne!(
            seen[4].header("webhook-timestamp"),
            seen[0].header("webhook-timestamp")
        );
        verified(&seen[4], &secret, world.now());
        let tx = world.db.tenant(&acme).await.unwrap();
        let delivery = deliveries(&tx, endpoint, None, Some("delivered"), 10)
            .await
            .unwrap()[0]
            .id;
        let tried = attempts(&tx, delivery).await.unwrap();
        let statuses: Vec<_> = tried.iter().map(|one| one.status).collect();
        assert_eq!(statuses, [None, None, Some(500), Some(302), Some(200)]);
        assert!(
            tried[1]
                .error
                .as_ref()
                .unwrap()
                .contains("no answer within")
        );
        assert_eq!(tried[2].answer.as_deref(), Some("out of order"));
        assert!(
            list(&tx, None, 10).await.unwrap()[0]
                .failing_since
                .is_none()
        );
        assert_eq!(world.count("SELECT count(*) FROM jobs.dead").await, 0);
    });
}

#[test]
fn an_endpoint_that_fails_for_days_is_disabled_and_what_it_missed_can_be_replayed() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let broken = StandIn::start(std::iter::repeat_n(Act::Answer(503, String::new()), 99)).await;
        let (endpoint, _) = add(&world, &acme, &broken.url("/")).await;
        let watching = StandIn::start([]).await;
        let tx = world.db.tenant(&acme).await.unwrap();
        let names = ["webhook.endpoint.disabled"];
        world
            .endpoints()
            .add(&tx, &acme, &watching.url("/"), &names, "", world.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let running = world.start(crate::world::World::client());
        world.ready(&acme, 1, 50.0).await;
        world
            .settled(
                "it has failed",
                "SELECT count(*) = 1 FROM events.endpoint WHERE failing_since IS NOT NULL",
            )
            .await;
        let began = world.now();
        // Four days are not enough.
        world.hand.advance(Duration::from_hours(4 * 24));
        world
            .settled(
                "it has failed again",
                "SELECT count(*) = 2 FROM events.attempt",
            )
            .await;
        // Before the endpoint is disabled: what comes later is not noted for it.
        world.ready(&acme, 2, 50.0).await;
        world
            .settled(
                "the second one fails, too",
                "SELECT count(*) = 3 FROM events.attempt",
            )
            .await;
        assert_eq!(
            world
                .count("SELECT count(*) FROM events.endpoint WHERE disabled_at IS NOT NULL")
                .await,
            0
        );
        world.hand.advance(Duration::from_hours(25));
        world
            .until("it is disabled", "SELECT count(*) = 1 FROM events.endpoint WHERE disabled_reason LIKE 'every delivery has failed since%'")
            .await;
        world
            .until(
                "both are given up",
                "SELECT count(*) = 2 FROM events.delivery WHERE state = 'failed'",
            )
            .await;
        // What happens now is not even noted for it.
        world.ready(&acme, 3, 50.0).await;
        world
            .until("it is passed by", "SELECT count(*) = 0 FROM events.outbox")
            .await;
        for _ in 0..1000 {
            if watching.seen().len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told: serde_json::Value = serde_json::from_slice(&watching.seen()[0].body).unwrap();
        assert_eq!(
            (&told["data"]["endpoint"], &told["data"]["reason"]),
            (&endpoint.into(), &"failing".into())
        );

        let tx = world.db.tenant(&acme).await.unwrap();
        broken.script([]);
        enable(&tx, endpoint).await.unwrap();
        let now = world.now();
        let again = replay(&tx, &acme, endpoint, Again::FailedSince(began), now);
        assert_eq!(again.await.unwrap(), 2);
        tx.commit().await.unwrap();
        world
            .until("both are delivered", "SELECT count(*) = 2 FROM events.delivery WHERE state = 'delivered' AND endpoint_id = 1")
            .await;
        let tx = world.db.tenant(&acme).await.unwrap();
        let first = deliveries(&tx, endpoint, None, None, 10)
            .await
            .unwrap()
            .pop()
            .unwrap()
            .id;
        let these = [first];
        let again = replay(&tx, &acme, endpoint, Again::These(&these), now);
        assert_eq!(again.await.unwrap(), 1);
        tx.commit().await.unwrap();
        let before = broken.seen().len();
        for _ in 0..1000 {
            if broken.seen().len() > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            broken.seen().len(),
            before + 1,
            "delivered once more because it was asked for"
        );
        drop(running);
    });
}

#[test]
fn an_endpoint_that_is_gone_is_disabled_at_once() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let gone = StandIn::start([Act::Answer(410, String::new())]).await;
        add(&world, &acme, &gone.url("/")).await;
        let running = world.start(crate::world::World::client());
        world.ready(&acme, 1, 50.0).await;
        world
            .until("it is disabled", "SELECT count(*) = 1 FROM events.endpoint WHERE disabled_reason = 'it answered 410 Gone'")
            .await;
        drop(running);
    });
}

#[test]
fn while_a_secret_is_changed_both_sign() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let receiver = StandIn::start([]).await;
        let (endpoint, old) = add(&world, &acme, &receiver.url("/")).await;
        let tx = world.db.tenant(&acme).await.unwrap();
        let new = world
            .endpoints()
            .rotate(&tx, endpoint, world.now())
            .await
            .unwrap();
        let missing = world.endpoints().rotate(&tx, 999, world.now()).await;
        assert!(matches!(missing, Err(EndpointError::Missing(999))));
        tx.commit().await.unwrap();
        let running = world.start(crate::world::World::client());
        for (hours, signatures) in [(0, 2), (23, 2), (2, 1)] {
            world.hand.advance(Duration::from_hours(hours));
            let before = receiver.seen().len();
            world.ready(&acme, 1, 50.0).await;
            while receiver.seen().len() == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let seen = receiver.seen().pop().unwrap();
            let header = seen.header("webhook-signature").unwrap();
            assert_eq!(header.split(' ').count(), signatures);
            verified(&seen, &new, world.now());
            if signatures == 2 {
                verified(&seen, &old, world.now());
            }
        }
        drop(running);
    });
}

#[test]
fn endpoints_lead_to_the_public_internet_only_even_if_they_did_not_when_they_were_made() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let strict = Client::new(Rules::STRANGERS);
        let endpoints = events::webhooks::Endpoints::new(world.ring.clone(), strict.clone());
        let tx = world.db.tenant(&acme).await.unwrap();
        let hook = "https://example.com/hook";
        for (url, names, says) in [
            ("http://example.com/", vec!["vehicle.ready"], "https://"),
            (
                "https://169.254.169.254/",
                vec!["vehicle.ready"],
                "metadata",
            ),
            ("https://[::1]/", vec!["vehicle.ready"], "loopback"),
            ("nonsense", vec!["vehicle.ready"], "a URL"),
            (hook, vec![], "at least one"),
            (hook, vec!["vehicle.flew"], "of the catalogue"),
        ] {
            let error = endpoints
                .add(&tx, &acme, url, &names, "", world.now())
                .await
                .unwrap_err();
            assert!(matches!(error, EndpointError::Field { .. }), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        drop(tx);
        // Made when it was permitted, or by a name that leads elsewhere now.
        let inside = StandIn::start([]).await;
        let port = inside.address().port();
        add(&world, &acme, &format!("http://localhost:{port}/")).await;
        let permitting_http = Client::new(Rules {
            plain_http: true,
            ..Rules::STRANGERS
        });
        let running = world.start(permitting_http);
        world.ready(&acme, 1, 50.0).await;
        world
            .until("it is refused", "SELECT count(*) = 1 FROM events.attempt WHERE status IS NULL AND error LIKE 'localhost leads to %where no call may go'")
            .await;
        drop(running);
        assert!(inside.seen().is_empty());
    });
}
