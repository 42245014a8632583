//! Every route, every error.

use std::time::Duration;

use cloud_ingest::http::document;
use platform::testing::{TestDatabase, on_each_database};
use serde_json::Value;
use shared_protocol::{Stream, catalogue};
use web::Code;

use crate::{
    http::{self, Answer},
    machine::until,
    service::{EMBEDDED, Place},
};

/// 2025-10-09T08:53:20Z.
const WALL_US: i64 = 1_760_000_000_000_000;
const SIGNAL: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";

fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["code"], code);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], "about:blank");
    assert!(
        problem["title"]
            .as_str()
            .is_some_and(|title| !title.is_empty())
    );
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
    );
    problem
}

#[test]
fn what_was_measured_can_be_read() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        for name in ["depot-1", "depot-2", "depot-3"] {
            let mut gateway = place.gateway(name);
            gateway.columns();
            gateway
                .deliver(
                    &service.broker,
                    Duration::from_secs(2),
                    Duration::from_secs(30),
                )
                .await;
            gateway.samples(Stream::Live, 50, WALL_US);
            gateway
                .deliver(
                    &service.broker,
                    Duration::from_secs(2),
                    Duration::from_secs(30),
                )
                .await;
        }

        // Pages of assets, each asset once.
        let (mut assets, mut path) = (Vec::new(), "/v1/assets?limit=2".to_owned());
        loop {
            let page = service.get(&path).await.json();
            assets.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = format!("/v1/assets?limit=2&cursor={next}");
        }
        assert_eq!(assets.len(), 3);
        let known: Vec<&Value> = assets
            .iter()
            .map(|asset| &asset["known_as"][0]["gateway"])
            .collect();
        assert_eq!(known, ["depot-1", "depot-2", "depot-3"]);
        let id = assets[0]["id"].as_i64().unwrap();

        // 500 + 49 steps of a tenth, at the last of 50 seconds.
        let latest = service.get(&format!("/v1/assets/{id}/latest")).await.json();
        assert_eq!(latest["asset"]["id"], id);
        let of = |name: &str| {
            let values = latest["values"].as_array().unwrap();
            values
                .iter()
                .find(|value| value["signal"] == name)
                .unwrap()
                .clone()
        };
        let charge = of(SIGNAL);
        assert_eq!(charge["value"], 54.9);
        assert_eq!(charge["unit"], "percent");
        assert_eq!(charge["source"], "can");
        assert_eq!(charge["time"], "2025-10-09T08:54:09Z");
        assert_eq!(of("VCU.Mood")["value"], 49.0);

        // Pages of a series, oldest first, each value once.
        for (signal, first, last) in [(SIGNAL, 50.5, 54.4), ("VCU.Mood", 5.0, 44.0)] {
            let query = format!(
                "/v1/assets/{id}/series?signal={signal}&from=2025-10-09T08:53:25Z&to=2025-10-09T08:54:05Z&limit=7"
            );
            let (mut points, mut path) = (Vec::new(), query.clone());
            loop {
                let page = service.get(&path).await.json();
                points.extend(page["points"].as_array().unwrap().clone());
                let Some(next) = page["next"].as_str() else {
                    break;
                };
                path = format!("{query}&cursor={next}");
            }
            assert_eq!(points.len(), 40, "{signal}");
            assert_eq!(
                (&points[0]["value"], &points[39]["value"]),
                (&first.into(), &last.into())
            );
            assert_eq!(points[0]["time"], "2025-10-09T08:53:25Z");
            let times: Vec<&str> = points
                .iter()
                .map(|point| point["time"].as_str().unwrap())
                .collect();
            assert!(times.is_sorted());
        }
        let none = service
            .get(&format!("/v1/assets/{id}/series?signal=Nothing"))
            .await
            .json();
        assert_eq!(none["points"].as_array().unwrap().len(), 0);
        let by = |source: &str| {
            format!(
                "/v1/assets/{id}/series?signal={SIGNAL}&from=2025-10-09T00:00:00Z&to=2025-10-10T00:00:00Z&source={source}"
            )
        };
        assert_eq!(
            service.get(&by("can")).await.json()["points"]
                .as_array()
                .unwrap()
                .len(),
            50
        );
        assert_eq!(
            service.get(&by("obd")).await.json()["points"]
                .as_array()
                .unwrap()
                .len(),
            0
        );

        // The ledgers' sums.
        let page = service.get("/v1/gateways?limit=2").await.json();
        let next = page["next"].as_str().unwrap();
        let rest = service
            .get(&format!("/v1/gateways?limit=2&cursor={next}"))
            .await
            .json();
        assert_eq!(
            (
                page["items"].as_array().unwrap().len(),
                rest["items"].as_array().unwrap().len()
            ),
            (2, 1)
        );
        let gateway = &rest["items"][0];
        assert_eq!(gateway["name"], "depot-3");
        let live = gateway["streams"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["stream"] == "live")
            .unwrap();
        assert_eq!(
            (&live["blocks"], &live["samples"], &live["dropped"]),
            (&1.into(), &100.into(), &0.into())
        );

        let signals = service.get("/v1/signals").await.json();
        assert_eq!(
            signals["items"].as_array().unwrap().len(),
            catalogue().signals().len()
        );
        assert_eq!(signals["items"][0]["name"], SIGNAL);

        let ready = service.get("/health/ready").await;
        assert_eq!(ready.status, 200, "{}", ready.body);
        assert!(ready.json()["last_commit_age_s"].as_f64().unwrap() < 60.0);
        until("metrics", 5, || async {
            let metrics = service.get("/metrics").await.body;
            metrics.contains("patio_ingest_batch_seconds_bucket")
                && metrics.contains("patio_mqtt_connected{")
        })
        .await;
        service.stop();
    });
}

#[test]
fn every_error_is_a_problem() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let series = format!("/v1/assets/1/series?signal={SIGNAL}");
        for (path, field, value, rule) in [
            (
                "/v1/assets?limit=0",
                "limit",
                "0",
                "a whole number from 1 to 1000",
            ),
            (
                "/v1/assets?limit=ten",
                "limit",
                "ten",
                "a whole number from 1 to 1000",
            ),
            ("/v1/assets?limit=1&limit=2", "limit", "2", "given once"),
            (
                "/v1/assets?cursor=x",
                "cursor",
                "x",
                "what `next` of the page before says",
            ),
            (
                "/v1/assets?colour=red",
                "colour",
                "red",
                "one of the known parameters: limit, cursor",
            ),
            ("/v1/assets/x/latest", "id", "x", "the number of an asset"),
            ("/v1/assets/-1/latest", "id", "-1", "the number of an asset"),
            ("/v1/assets/1/series", "signal", "", "the name of a signal"),
            (
                &format!("{series}&from=yesterday"),
                "from",
                "yesterday",
                "a time as RFC 3339 has it, such as 2026-03-01T08:00:00Z",
            ),
            (
                &format!("{series}&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"),
                "from",
                "2026-01-02T00:00:00Z",
                "before `to`",
            ),
            (
                &format!("{series}&source=can&limit=99999"),
                "limit",
                "99999",
                "a whole number from 1 to 10000",
            ),
            (
                &format!("{series}&cursor=5"),
                "cursor",
                "5",
                "what `next` of the page before says",
            ),
            (
                &format!("{series}&source=wire"),
                "source",
                "wire",
                "one of can, obd, modbus, ocpp, gateway, teltonika, geotab, json",
            ),
            (
                "/v1/gateways?cursor=No%20Body",
                "cursor",
                "No Body",
                "what `next` of the page before says",
            ),
            (
                "/v1/signals?limit=1",
                "limit",
                "1",
                "one of the known parameters: ",
            ),
        ] {
            let problem = problem(&service.get(path).await, 400, "bad_parameter");
            assert_eq!(
                (&problem["field"], &problem["value"], &problem["rule"]),
                (&field.into(), &value.into(), &rule.into()),
                "{path}"
            );
        }
        problem(
            &service.get("/v1/assets/7/latest").await,
            404,
            "asset_not_found",
        );
        problem(&service.get(&series).await, 404, "asset_not_found");
        problem(&service.get("/v1/quarantine/7").await, 404, "not_found");
        problem(&service.get("/v2/assets").await, 404, "route_not_found");
        let wrong = service
            .ask("PUT /v1/assets", "content-length: 0\r\n", "")
            .await;
        problem(&wrong, 405, "method_not_allowed");
        assert!(wrong.headers["allow"].contains("GET"));
        let long = service
            .ask("GET /v1/assets", "content-length: 100000\r\n", "")
            .await;
        problem(&long, 413, "body_too_long");

        let own = service
            .ask("GET /v1/assets", "x-request-id: mine-7\r\n", "")
            .await;
        assert_eq!(own.headers["x-request-id"], "mine-7");
        assert_eq!(
            service.get("/nothing").await.headers["x-request-id"].len(),
            36
        );
        let log = service.stop();
        assert!(log.contains("mine-7"), "{log}");
    });
}

/// Whoever holds up the database gets an answer that says so.
#[test]
fn a_question_that_takes_too_long_is_given_up() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let db = database.connect().await;
        let mut client = db.owner().await.unwrap();
        let lock = client.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE platform.gateway IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let late = service.get("/v1/gateways").await;
        problem(&late, 504, "deadline_exceeded");
        lock.rollback().await.unwrap();
        assert_eq!(service.get("/v1/gateways").await.status, 200);
        service.stop();
    });
}

/// The document names every route, and every route of the document is there.
#[test]
fn the_document_lists_every_route() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        // Each route is asked by a stranger.
        let text = std::fs::read_to_string(place.config()).unwrap();
        let often = "[http]\nstrangers_per_minute = 100000\n";
        std::fs::write(place.config(), text.replace("[http]\n", often)).unwrap();
        let service = place.serve();
        let served = service.get("/openapi.json").await.json();
        let paths: Vec<&String> = served["paths"].as_object().unwrap().keys().collect();
        let expected = [
            "/health/live",
            "/health/ready",
            "/metrics",
            "/v1/assets",
            "/v1/assets/{id}/events",
            "/v1/assets/{id}/latest",
            "/v1/assets/{id}/rollups",
            "/v1/assets/{id}/series",
            "/v1/audit",
            "/v1/charging/assumed",
            "/v1/commands",
            "/v1/commands/{id}",
            "/v1/depots",
            "/v1/depots/{id}",
            "/v1/devices",
            "/v1/events",
            "/v1/events/live",
            "/v1/files",
            "/v1/files/{id}",
            "/v1/files/{id}/links",
            "/v1/gateways",
            "/v1/jobs/dead",
            "/v1/jobs/dead/{id}",
            "/v1/jobs/dead/{id}/replay",
            "/v1/keys",
            "/v1/keys/{id}",
            "/v1/keys/{id}/rotate",
            "/v1/links/{token}",
            "/v1/me",
            "/v1/me/organization",
            "/v1/me/password",
            "/v1/privacy/data",
            "/v1/privacy/requests",
            "/v1/privacy/requests/{id}",
            "/v1/privacy/requests/{id}/export",
            "/v1/privacy/requests/{id}/refuse",
            "/v1/quarantine",
            "/v1/quarantine/{id}",
            "/v1/quarantine/{id}/readmit",
            "/v1/refresh",
            "/v1/roles",
            "/v1/sign-in",
            "/v1/sign-in/oidc/{provider}",
            "/v1/sign-in/oidc/{provider}/callback",
            "/v1/sign-out",
            "/v1/signals",
            "/v1/transactions",
            "/v1/transactions/unmatched",
            "/v1/transactions/{id}/vehicle",
            "/v1/users",
            "/v1/users/{id}/codes",
            "/v1/users/{id}/disable",
            "/v1/users/{id}/password",
            "/v1/users/{id}/roles",
            "/v1/vehicle-signs",
            "/v1/webhooks",
            "/v1/webhooks/{id}",
            "/v1/webhooks/{id}/deliveries",
            "/v1/webhooks/{id}/deliveries/{delivery}",
            "/v1/webhooks/{id}/enable",
            "/v1/webhooks/{id}/replay",
            "/v1/webhooks/{id}/rotate",
        ];
        let mut sorted = paths.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
        for path in paths {
            for (method, operation) in served["paths"][path].as_object().unwrap() {
                let filled = path.replace("{id}", "1").replace("{delivery}", "1");
                let line = format!("{} {filled}", method.to_uppercase());
                // Nobody gets anywhere under /v1, but to where one signs in (at providers, too), and with a link that was given out.
                let answer = http::ask(&service.http, &line, "content-length: 0\r\n", "").await;
                assert!(!answer.body.contains("route_not_found"), "{line}");
                let open = !path.starts_with("/v1/")
                    || path.starts_with("/v1/sign-in")
                    || ["/v1/refresh", "/v1/links/{token}"].contains(&path.as_str());
                assert_eq!(
                    answer.body.contains("unauthenticated"),
                    !open,
                    "{line}: {}",
                    answer.body
                );
                let told = operation["summary"].is_string() || operation["description"].is_string();
                assert!(told, "{line}");
                let answers = operation["responses"].as_object();
                assert!(answers.is_some_and(|answers| !answers.is_empty()), "{line}");
            }
        }
        let docs = service.get("/docs/").await;
        assert!(
            docs.status == 200 && docs.body.contains("swagger"),
            "{}",
            docs.body
        );
        service.stop();
    });
}

/// References of the document lead somewhere, and each code is in it.
#[test]
fn the_document_is_whole() {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
    let codes = document
        .pointer("/components/schemas/Code")
        .unwrap()
        .to_string();
    for code in Code::ALL {
        let name = serde_json::to_value(code).unwrap();
        assert!(codes.contains(name.as_str().unwrap()), "{name}");
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(target) if key == "$ref" => found.push(target.to_owned()),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
