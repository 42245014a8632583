//! Roll-ups, events, commands and the quarantine over the API, and whose they are.

use std::time::Duration;

use jiff::Timestamp;
use platform::testing::{TestDatabase, on_each_database};
use serde_json::{Value, json};
use shared_protocol::{Stream, topic};
use telemetry::read;

use crate::{
    gateway::publish_raw,
    machine::until,
    service::{EMBEDDED, Place},
};

/// 2025-10-09T08:53:20Z.
const WALL_US: i64 = 1_760_000_000_000_000;
const SIGNAL: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";
const LONG: Duration = Duration::from_secs(30);

#[test]
fn what_is_kept_beside_samples_can_be_asked_for() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let mut gateway = place.gateway("depot-1");
        gateway.columns();
        gateway.samples(Stream::Live, 50, WALL_US);
        gateway
            .deliver(&service.broker, Duration::from_secs(2), LONG)
            .await;
        let assets = service.get("/v1/assets").await.json();
        let id = assets["items"][0]["id"].as_i64().unwrap();

        // 50.0 to 54.9 percent: 40 seconds in the first minute, 10 in the second.
        let db = database.connect().await;
        let query = format!(
            "/v1/assets/{id}/rollups?signal={SIGNAL}&step=minute&from=2025-10-09T00:00:00Z&to=2025-10-10T00:00:00Z&limit=1"
        );
        // The service rolls up by itself, too.
        until("both minutes are rolled up", 30, || async {
            telemetry::roll_up(&db, Timestamp::now()).await.unwrap();
            let all = service.get(&query.replace("limit=1", "limit=9")).await;
            all.json()["buckets"].as_array().unwrap().len() == 2
        })
        .await;
        let first = service.get(&query).await.json();
        let next = first["next"].as_str().unwrap();
        let second = service.get(&format!("{query}&cursor={next}")).await.json();
        let of = |page: &Value| {
            let bucket = &page["buckets"][0];
            ["count", "first", "last", "least", "greatest"].map(|what| bucket[what].clone())
        };
        assert_eq!(
            of(&first).map(|v| v.as_f64().unwrap()),
            [40.0, 50.0, 53.9, 50.0, 53.9]
        );
        assert_eq!(
            of(&second).map(|v| v.as_f64().unwrap()),
            [10.0, 54.0, 54.9, 54.0, 54.9]
        );
        assert_eq!(second["next"], Value::Null);
        let wrong = service.get(&query.replace("minute", "hour")).await;
        assert_eq!(
            (wrong.status, &wrong.json()["field"]),
            (400, &json!("step"))
        );

        // Nothing was plugged in.
        let events = service.get(&format!("/v1/assets/{id}/events")).await;
        assert_eq!(events.json(), json!({"events": [], "next": null}));

        // Two commands, one of them asked for twice.
        let body = r#"{"gateway": "depot-1", "kind": "ping"}"#;
        let keyed = "idempotency-key: one\r\n";
        let one = service.post("/v1/commands", keyed, body).await;
        assert_eq!(one.status, 201, "{}", one.body);
        assert_eq!(
            service.post("/v1/commands", keyed, body).await.json(),
            one.json()
        );
        let two = service.post("/v1/commands", "", body).await.json();
        let mut names = Vec::new();
        let mut path = "/v1/commands?gateway=depot-1&limit=1".to_owned();
        loop {
            let page = service.get(&path).await.json();
            names.push(page["items"][0]["id"].clone());
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = format!("/v1/commands?gateway=depot-1&limit=1&cursor={next}");
        }
        assert_eq!(names, [two["id"].clone(), one.json()["id"].clone()]);
        let name = names[1].as_str().unwrap();
        let shown = service.get(&format!("/v1/commands/{name}")).await.json();
        assert_eq!(
            (&shown["kind"], &shown["gateway"]),
            (&json!("ping"), &json!("depot-1"))
        );
        for (body, status) in [
            (r#"{"gateway": "depot-1", "kind": "reboot"}"#, 400),
            (r#"{"gateway": "nobody", "kind": "ping"}"#, 404),
            (
                r#"{"gateway": "depot-1", "kind": "ping", "valid_s": 0}"#,
                400,
            ),
        ] {
            let answer = service.post("/v1/commands", "", body).await;
            assert_eq!(answer.status, status, "{}", answer.body);
        }

        // A message that claims to be of the gateway, and one that claims nobody's name.
        let client = db.system().await.unwrap();
        let live = |name: &str| topic::up(&name.parse().unwrap(), Stream::Live.class());
        let junk = [
            (live("depot-1"), vec![1; 40]),
            (live("stranger"), vec![2; 40]),
        ];
        publish_raw(&service.broker, &junk).await;
        until("both are kept", 20, || async {
            read::quarantine(&client, None, 10).await.unwrap().len() == 2
        })
        .await;
        let own = service.get("/v1/quarantine").await.json();
        let own = own["items"].as_array().unwrap().clone();
        assert_eq!(own.len(), 1, "{own:?}");
        let number = own[0]["id"].as_i64().unwrap();
        let shown = service
            .get(&format!("/v1/quarantine/{number}"))
            .await
            .json();
        assert_eq!(shown["gateway"], "depot-1");
        let again = format!("/v1/quarantine/{number}/readmit");
        let became = service
            .ask(&format!("POST {again}"), "content-length: 0\r\n", "")
            .await;
        assert_eq!(
            (became.status, &became.json()["stored"]),
            (200, &json!(false))
        );

        // Another organisation sees none of it.
        let other = place.key(
            "other",
            &[
                "telemetry.read",
                "gateways.read",
                "commands.send",
                "quarantine.readmit",
            ],
        );
        let header = format!("authorization: Bearer {other}\r\ncontent-length: 0\r\n");
        let as_other = async |request: &str, body: &str| {
            let header = header.replace("length: 0", &format!("length: {}", body.len()));
            let header = format!("{header}content-type: application/json\r\n");
            crate::http::ask(&service.http, request, &header, body).await
        };
        for (request, body) in [
            (format!("GET /v1/commands/{name}"), ""),
            (format!("GET /v1/quarantine/{number}"), ""),
            (format!("POST {again}"), ""),
            (format!("GET /v1/assets/{id}/events"), ""),
            (format!("GET {query}"), ""),
            ("POST /v1/commands".to_owned(), body),
        ] {
            let answer = as_other(&request, body).await;
            assert_eq!(answer.status, 404, "{request}: {}", answer.body);
        }
        let lists = ["GET /v1/commands", "GET /v1/quarantine"];
        for list in lists {
            assert_eq!(as_other(list, "").await.json()["items"], json!([]));
        }
        service.stop();
    });
}
