//! Endpoints of webhooks over the API: made, delivered to, replayed, removed.

use platform::testing::{TestDatabase, on_each_database};
use serde_json::{Value, json};

use crate::{
    machine::until,
    rooms::{code, scope, tell, with},
    service::{EMBEDDED, Place},
};

#[test]
fn webhooks_are_managed_delivered_and_replayed() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let service = place.serve();
        let db = database.connect().await;
        let own = scope(&db, "default").await;
        for (body, field) in [
            (
                json!({"url": "https://127.0.0.1/", "names": ["vehicle.ready"]}),
                "url",
            ),
            (
                json!({"url": "http://example.com/", "names": ["vehicle.ready"]}),
                "url",
            ),
            (json!({"url": "https://example.com/", "names": []}), "names"),
            (
                json!({"url": "https://example.com/", "names": ["vehicle.reddy"]}),
                "names",
            ),
        ] {
            let answer = service.post("/v1/webhooks", "", &body.to_string()).await;
            assert_eq!(code(&answer), (400, "bad_body".to_owned()), "{body}");
            assert_eq!(answer.json()["field"], field, "{body}");
        }
        // The name leads nowhere: every delivery fails, and says so.
        let body = json!({"url": "https://receiver.invalid/", "names": ["vehicle.ready"], "description": "test"});
        let made = service.post("/v1/webhooks", "", &body.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let secret = made.json()["secret"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("whsec_"));
        let id = made.json()["endpoint"]["id"].as_i64().unwrap();
        let path = format!("/v1/webhooks/{id}");
        let shown = service.get(&path).await;
        assert_eq!(shown.json()["names"], json!(["vehicle.ready"]));
        assert!(!shown.body.contains("whsec_"));
        // What one may not read one does not hear of either.
        let other = place.key("default", &["webhooks.manage", "webhooks.read"]);
        let deaf = with(&service, &other, "POST /v1/webhooks", &body.to_string()).await;
        assert_eq!(code(&deaf), (403, "permission_missing".to_owned()));

        tell(
            &db,
            &own,
            "vehicle.ready",
            "1",
            json!({"asset": 1, "state_of_charge": 80.0}),
        )
        .await;
        let log = format!("{path}/deliveries");
        until("an attempt", 30, || async {
            let page = service.get(&log).await.json();
            page["items"][0]["attempts"]
                .as_i64()
                .is_some_and(|count| count > 0)
        })
        .await;
        let page = service
            .get(&format!("{log}?state=waiting&limit=1"))
            .await
            .json();
        let delivery = page["items"][0]["id"].as_i64().unwrap();
        let one = service.get(&format!("{log}/{delivery}")).await.json();
        assert!(
            one["attempts"][0]["error"]
                .as_str()
                .unwrap()
                .contains("receiver.invalid"),
            "{one}"
        );
        let never = service.get(&format!("{log}?state=lost")).await;
        assert_eq!(never.json()["field"], "state");

        // Given up, then once more: with one key, one replay.
        db.system()
            .await
            .unwrap()
            .batch_execute("UPDATE events.delivery SET state = 'failed', ended_at = now()")
            .await
            .unwrap();
        let again = json!({"failed_since": "2020-01-01T00:00:00Z"}).to_string();
        let replay = format!("{path}/replay");
        for _ in 0..2 {
            let answer = service
                .post(&replay, "idempotency-key: r1\r\n", &again)
                .await;
            assert_eq!(
                (answer.status, &answer.json()["deliveries"]),
                (202, &json!(1))
            );
        }
        until("another attempt", 30, || async {
            let one = service.get(&format!("{log}/{delivery}")).await.json();
            one["attempts"].as_array().unwrap().len() > 1
        })
        .await;
        for body in [
            json!({}),
            json!({"deliveries": [1], "failed_since": "2020-01-01T00:00:00Z"}),
        ] {
            let answer = service.post(&replay, "", &body.to_string()).await;
            assert_eq!(code(&answer), (400, "bad_body".to_owned()), "{body}");
        }

        let rotated = service
            .ask(&format!("POST {path}/rotate"), "", "")
            .await
            .json();
        assert_ne!(rotated["secret"], secret.as_str());
        let stop = "UPDATE events.endpoint SET disabled_at = now(), disabled_reason = 'test'";
        db.system()
            .await
            .unwrap()
            .batch_execute(stop)
            .await
            .unwrap();
        assert_eq!(service.get(&path).await.json()["disabled_reason"], "test");
        assert_eq!(
            service
                .ask(&format!("POST {path}/enable"), "", "")
                .await
                .status,
            204
        );
        assert_eq!(service.get(&path).await.json()["disabled_at"], Value::Null);

        // Another organisation finds none of it.
        let theirs = place.key("other", &["webhooks.read", "webhooks.manage"]);
        for (request, body) in [
            (format!("GET {path}"), ""),
            (format!("GET {log}"), ""),
            (format!("POST {path}/rotate"), ""),
            (format!("POST {path}/enable"), ""),
            (format!("POST {replay}"), again.as_str()),
            (format!("DELETE {path}"), ""),
        ] {
            let answer = with(&service, &theirs, &request, body).await;
            assert_eq!(
                code(&answer),
                (404, "webhook_not_found".to_owned()),
                "{request}"
            );
        }
        let answer = with(&service, &theirs, &format!("GET {log}/{delivery}"), "").await;
        assert_eq!(code(&answer), (404, "delivery_not_found".to_owned()));
        let list = with(&service, &theirs, "GET /v1/webhooks", "").await.json();
        assert_eq!(list["items"], json!([]));

        assert_eq!(
            service.ask(&format!("DELETE {path}"), "", "").await.status,
            204
        );
        assert_eq!(service.get(&path).await.status, 404);
        // Who did it stands in the trail.
        let trail = service
            .get(&format!("/v1/audit?subject=webhook:{id}"))
            .await
            .json();
        let actions: Vec<_> = trail["items"].as_array().unwrap().iter().rev().collect();
        let names: Vec<_> = actions
            .iter()
            .map(|was| was["action"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "events.add_endpoint",
                "events.replay",
                "events.rotate_secret",
                "events.enable_endpoint",
                "events.remove_endpoint"
            ]
        );
        let log = service.stop();
        assert!(!log.contains(&secret), "the log has a secret");
    });
}
