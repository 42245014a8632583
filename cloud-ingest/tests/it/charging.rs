//! Charging transactions from a gateway's records to the API.

use std::time::Duration;

use platform::testing::{TestDatabase, on_each_database};
use serde_json::{Value, json};

use crate::{
    rooms::{code, with},
    service::{EMBEDDED, Place},
};

/// 2025-10-09T08:53:20Z.
const WALL_US: i64 = 1_760_000_000_000_000;

fn step(name: &str, entry: u32, energy_mwh: i64, time: &str) -> Value {
    json!({
        "station": "CS-1", "transaction": name, "entry": entry, "evse": 1, "token": "TAG-7", "started": "2025-10-09T08:00:00Z",
        "time": time, "register_mwh": 7_000_000 + energy_mwh, "energy_mwh": energy_mwh, "register_resets": 0,
    })
}

#[test]
fn what_was_charged_can_be_read() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let mut gateway = place.gateway("depot-1");
        let mut ended = step("a", 1, 11_222_500, "2025-10-09T09:00:00Z");
        ended["reason"] = json!("EVDisconnected");
        let records = [
            (
                "transaction.started",
                step("a", 0, 0, "2025-10-09T08:00:00Z"),
            ),
            ("transaction.ended", ended),
            (
                "transaction.started",
                step("b", 0, 0, "2025-10-09T08:00:00Z"),
            ),
            (
                "transaction.updated",
                step("c", 1, 500, "2025-10-09T08:00:00Z"),
            ),
        ];
        gateway.records(&records, WALL_US);
        let (patience, within) = (Duration::from_secs(2), Duration::from_secs(60));
        gateway.deliver(&service.broker, patience, within).await;

        let (mut all, mut path) = (Vec::new(), "/v1/transactions?limit=2".to_owned());
        loop {
            let page = service.get(&path).await.json();
            all.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = format!("/v1/transactions?limit=2&cursor={next}");
        }
        let names: Vec<&Value> = all.iter().map(|one| &one["transaction"]).collect();
        assert_eq!(names, ["c", "b", "a"]);
        let asset = all[2]["asset"].as_i64().unwrap();
        let mut a = all[2].clone();
        a.as_object_mut().unwrap().remove("id");
        assert_eq!(
            a,
            json!({
                "asset": asset, "station": "CS-1", "transaction": "a", "evse": 1, "token": "TAG-7",
                "started_at": "2025-10-09T08:00:00Z", "ended_at": "2025-10-09T09:00:00Z", "reason": "EVDisconnected",
                "register_wh": 18222.5, "energy_wh": 11222.5, "register_resets": 0, "told_at": "2025-10-09T08:53:20Z", "whole": true,
                "vehicle": null,
            })
        );
        let count = async |query: &str| {
            let page = service
                .get(&format!("/v1/transactions?{query}"))
                .await
                .json();
            page["items"].as_array().map(Vec::len)
        };
        assert_eq!(count("open=true").await, Some(2));
        assert_eq!(count(&format!("open=false&asset={asset}")).await, Some(1));
        assert_eq!(count(&format!("asset={}", asset + 1000)).await, Some(0));
        assert_eq!(
            count("from=2025-10-09T08:00:00Z&to=2025-10-09T08:00:01Z").await,
            Some(3)
        );
        assert_eq!(count("from=2025-10-09T08:00:01Z").await, Some(0));
        for (query, field) in [
            ("open=perhaps", "open"),
            ("asset=0", "asset"),
            ("from=yesterday", "from"),
            ("cursor=x", "cursor"),
            ("station=CS-1", "station"),
        ] {
            let answer = service.get(&format!("/v1/transactions?{query}")).await;
            assert_eq!(answer.status, 400, "{query}: {}", answer.body);
            assert_eq!(answer.json()["field"], field, "{query}");
        }

        // Whoever may not, and another organisation.
        let request = "GET /v1/transactions";
        let blind = place.key("default", &["keys.manage"]);
        let answer = with(&service, &blind, request, "").await;
        assert_eq!(code(&answer), (403, "permission_missing".to_owned()));
        let theirs = place.key("other", &["telemetry.read"]);
        let page = with(&service, &theirs, request, "").await.json();
        assert_eq!(page["items"], json!([]));
        service.stop();
    });
}

#[test]
fn a_plan_takes_what_the_fleet_assumes_of_cars_that_nobody_knows() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        place.gateway("depot-1");
        let plan = json!({
            "from": "2027-01-31T20:00:00Z", "until": "2027-02-01T06:00:00Z", "stations": [{ "station": "s-1", "token": "CARD" }],
        });
        let give = async |plan: &str| {
            let command = json!({ "gateway": "depot-1", "kind": "plan", "argument": plan });
            service.post("/v1/commands", "", &command.to_string()).await
        };
        // What a plan says when it is given, of cars that it does not know.
        let given = async |plan: &Value| {
            let answer = give(&plan.to_string()).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let argument = answer.json()["argument"].as_str().unwrap().to_owned();
            let mut said: Value = serde_json::from_str(&argument).unwrap();
            let assumed = said.as_object_mut().unwrap().remove("assumed").unwrap();
            let mut rest = plan.clone();
            rest.as_object_mut().unwrap().remove("assumed");
            assert_eq!(said, rest);
            assumed
        };
        // Nobody has said anything: a day's work and a night.
        let usual = json!({ "energy_wh": 20_000, "leaves_after_s": 28_800 });
        assert_eq!(given(&plan).await, usual);
        let short = json!({ "energy_wh": 9_000, "leaves_after_s": 3_600 });
        let assume = async |key: &str, assumed: &Value| {
            let answer = with(
                &service,
                key,
                "PUT /v1/charging/assumed",
                &assumed.to_string(),
            )
            .await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        };
        assume(&service.key, &short).await;
        assert_eq!(given(&plan).await, short);
        // What others assume is theirs.
        let theirs = place.key("other", &["transactions.assign"]);
        assume(&theirs, &json!({ "energy_wh": 1, "leaves_after_s": 1 })).await;
        assert_eq!(given(&plan).await, short);
        // A plan may say its own, and that nothing is assumed.
        for own in [
            json!({ "energy_wh": 500, "leaves_after_s": 60 }),
            json!(null),
        ] {
            let mut plan = plan.clone();
            plan["assumed"] = own.clone();
            assert_eq!(given(&plan).await, own);
        }
        // From the command line it is the same.
        let printed = place.run(&[
            "command",
            "send",
            "--gateway",
            "depot-1",
            "plan",
            &plan.to_string(),
        ]);
        let path = format!("/v1/commands/{}", printed.trim());
        let command = service.get(&path).await.json();
        let said = command["argument"].as_str().unwrap();
        let said: Value = serde_json::from_str(said).unwrap();
        assert_eq!(said["assumed"], short, "{said}");
        // What is wrong with a plan is told as ever.
        let mut wrong = plan.clone();
        wrong["assumed"] = json!({ "energy_wh": 1_000_001, "leaves_after_s": 1 });
        for (plan, says) in [
            ("{}", "expected a plan such as"),
            (&wrong.to_string(), "at most 1000000 Wh"),
        ] {
            let answer = give(plan).await;
            assert_eq!(code(&answer).0, 400, "{}", answer.body);
            assert!(answer.body.contains(says), "{}", answer.body);
        }
        service.stop();
    });
}
