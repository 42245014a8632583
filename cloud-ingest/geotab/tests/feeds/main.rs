//! The poller against a service that behaves as badly as MyGeotab may: sessions end, hosts change, limits are hit, pages
//! overlap, answers are torn, and the poller itself is cut off at any point. Each record is stored once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod pace;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use devices::Sink;
use geotab::{
    NewAccount,
    poller::{Poller, Settings},
};
use jiff::{SignedDuration, Timestamp};
use outbound::{Client, Rules};
use platform::{
    Clock, Db,
    testing::{TestDatabase, assert_commented, budget, on_each_database, prepare_all},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use vault::Ring;

const RECORDS: usize = 60;
const LIMIT: usize = 7;

/// What the service has and how it is doing.
struct Service {
    random: StdRng,
    address: SocketAddr,
    session: u64,
    signed_in: usize,
}

type Shared = Arc<Mutex<Service>>;

fn error(name: &str) -> Value {
    json!({"error": {"errors": [{"name": name, "message": "as scripted"}]}})
}

/// The records of a feed, by version.
fn records(entity: &str) -> Vec<Value> {
    let time = |at: usize| {
        Timestamp::new(1_789_990_000 + at as i64, 0)
            .unwrap()
            .to_string()
    };
    let record = |at: usize| {
        let device = json!({"id": format!("b{}", at % 2)});
        match entity {
            "LogRecord" => {
                json!({"id": format!("l{at}"), "device": device, "dateTime": time(at), "latitude": 32.5,
                "longitude": -117.0, "speed": at})
            }
            "StatusData" => {
                json!({"id": format!("s{at}"), "device": device, "dateTime": time(at), "data": at,
                "diagnostic": {"id": if at.is_multiple_of(5) { "DiagnosticUnknownId" } else { "DiagnosticStateOfChargeId" }}})
            }
            "FaultData" => {
                json!({"id": format!("f{at}"), "device": device, "dateTime": time(at), "diagnostic": "DiagnosticX"})
            }
            _ => json!({"id": format!("b{at}"), "name": format!("Van {at}")}),
        }
    };
    (0..if entity == "Device" { 2 } else { RECORDS })
        .map(record)
        .collect()
}

async fn answer(State(service): State<Shared>, body: String) -> Response {
    let mut service = service.lock().unwrap();
    let request: Value = serde_json::from_str(&body).unwrap();
    let params = &request["params"];
    if request["method"] == "Authenticate" {
        assert_eq!(
            (&params["userName"], &params["password"]),
            (&json!("patio"), &json!("secret"))
        );
        service.session += 1;
        service.signed_in += 1;
        let path = if service.random.random_bool(0.5) {
            "ThisServer".to_owned()
        } else {
            service.address.to_string()
        };
        let credentials = json!({"database": "acme", "userName": "patio", "sessionId": service.session.to_string()});
        return json!({"result": {"credentials": credentials, "path": path}})
            .to_string()
            .into_response();
    }
    let entity = params["typeName"].as_str().unwrap().to_owned();
    if params["credentials"]["sessionId"] != json!(service.session.to_string())
        || service.random.random_bool(0.1)
    {
        service.session += 1;
        return error("InvalidUserException").to_string().into_response();
    }
    let from: usize = params["fromVersion"]
        .as_str()
        .map_or(0, |version| version.parse().unwrap());
    assert_eq!(
        params["search"].is_object(),
        from == 0 && entity != "Device",
        "a feed begins at a time, once"
    );
    let all = records(&entity);
    // A page begins a little before its version: borders overlap.
    let begin = from.saturating_sub(service.random.random_range(0..3));
    let end = (begin + LIMIT).min(all.len()).max(from);
    let page =
        json!({"result": {"data": all[begin..end], "toVersion": end.to_string()}}).to_string();
    match service.random.random_range(0..20) {
        0 => (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "0")],
            error("OverLimitException").to_string(),
        )
            .into_response(),
        1 => page[..page.len() / 2].to_owned().into_response(),
        2 => error("DbUnavailableException").to_string().into_response(),
        3 => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        _ => page.into_response(),
    }
}

async fn serve(random: StdRng) -> Shared {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = Arc::new(Mutex::new(Service {
        random,
        address: listener.local_addr().unwrap(),
        session: 0,
        signed_in: 0,
    }));
    let router = Router::new()
        .route("/apiv1", post(answer))
        .with_state(Arc::clone(&service));
    tokio::spawn(async move { axum::serve(listener, router).await });
    service
}

async fn count(db: &Db, sql: &str) -> i64 {
    let client = db.system().await.unwrap();
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[test]
fn each_record_is_stored_once() {
    let fixed = std::env::var("PATIO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    on_each_database(move |database: TestDatabase| async move {
        let begun = Instant::now();
        let db = database.connect().await;
        let rooms = [
            platform::room(),
            telemetry::room(),
            devices::room(),
            geotab::room(),
        ];
        platform::migrate(&db, &rooms).await.unwrap();
        assert_commented(&db, "geotab").await;
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&db, &folder).await > 5);
        let now = Timestamp::new(1_790_000_000, 0).unwrap();
        telemetry::prepare_storage(&db, now).await.unwrap();
        let (clock, _) = Clock::by_hand(now);
        let register = platform::Register::new(db.clone(), clock.clone());
        register.add_organization("acme").await.unwrap();
        let ring = Ring::read(&Ring::new_line(1).unwrap()).unwrap();
        let (mut seeds, mut cuts) = (0, 0);
        while seeds == 0 || begun.elapsed() < budget() / 2 {
            let seed: u64 = fixed.unwrap_or_else(rand::random);
            let mut random = StdRng::seed_from_u64(seed);
            let service = serve(StdRng::seed_from_u64(random.random())).await;
            let server = service.lock().unwrap().address.to_string();
            let name = format!("acme{seeds}");
            let account = NewAccount {
                organization: "acme",
                server: &server,
                database: &name,
                user: "patio",
                password: "secret",
            };
            let since = now.checked_sub(SignedDuration::from_hours(24)).unwrap();
            geotab::add(&db, &ring, &account, since).await.unwrap();
            let settings = Settings {
                scheme: "http",
                least: Duration::from_millis(20),
                limit: LIMIT as u32,
                backoff: (Duration::from_millis(10), Duration::from_millis(100)),
                ..Settings::every(Duration::from_millis(40))
            };
            let rules = Rules {
                plain_http: true,
                any_address: true,
                ..geotab::poller::RULES
            };
            let start = || {
                let sink = Sink::new(db.clone(), clock.clone());
                let client = Client::new(rules.clone());
                let poller = Poller::new(
                    sink,
                    ring.clone(),
                    client,
                    settings.clone(),
                    "test".to_owned(),
                );
                tokio::spawn(poller.run(CancellationToken::new()))
            };
            let left = format!(
                "SELECT count(*) FROM geotab.feed AS f JOIN geotab.account AS a ON a.id = f.account_id
                 WHERE a.database = '{name}' AND f.version <> CASE f.entity WHEN 'Device' THEN '2' ELSE '{RECORDS}' END"
            );
            let done = timeout(Duration::from_secs(60), async {
                let mut poller = start();
                while count(&db, &left).await > 0 {
                    sleep(Duration::from_millis(random.random_range(20..300))).await;
                    if random.random_bool(0.3) {
                        poller.abort();
                        poller = start();
                        cuts += 1;
                    }
                }
                poller.abort();
            });
            assert!(
                done.await.is_ok(),
                "the feeds do not come to their end: PATIO_SEED={seed}"
            );
            geotab::remove(&db, &name).await.unwrap();
            let of = |what: &str| format!("{what} WHERE d.key LIKE '{name}/%'");
            let records = RECORDS as i64;
            for (sql, expected) in [
                // A position and a state of charge are of one source and instant, but of different records.
                (
                    of("SELECT sum(records)::bigint FROM devices.device AS d"),
                    2 * records,
                ),
                (
                    of(
                        "SELECT count(s.speed) FROM telemetry.sample AS s JOIN devices.device AS d USING (asset_id)",
                    ),
                    records,
                ),
                (
                    of(
                        "SELECT count(s.state_of_charge_displayed) FROM telemetry.sample AS s JOIN devices.device AS d USING (asset_id)",
                    ),
                    records * 4 / 5,
                ),
                (
                    of(
                        "SELECT sum(u.occurrences)::bigint FROM devices.unread AS u JOIN devices.device AS d ON d.id = u.device_id",
                    ),
                    records / 5,
                ),
                (
                    of(
                        "SELECT count(*) FROM geotab.fault AS f JOIN devices.device AS d ON d.id = f.device_id",
                    ),
                    records,
                ),
                (of("SELECT count(*) FROM devices.device AS d"), 2),
            ] {
                assert_eq!(count(&db, &sql).await, expected, "{sql} PATIO_SEED={seed}");
            }
            {
                let service = service.lock().unwrap();
                assert!(service.signed_in > 0);
            }
            seeds += 1;
        }
        println!("{seeds} seeds, {cuts} cuts on {}", database.label);
    });
}
