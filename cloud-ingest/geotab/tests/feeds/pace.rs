//! How often the service is asked. The service measures from its own answer to the next question: a busy machine only makes that longer.

use std::{
    collections::HashMap,
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
    poller::{Poller, RULES, Settings},
};
use jiff::Timestamp;
use outbound::{Client, Rules};
use platform::{
    Clock, Register,
    testing::{TestDatabase, on_each_database},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vault::Ring;

use crate::error;

/// What MyGeotab permits: a request a second for each type of entity.
const PERMITTED: Duration = Duration::from_secs(1);
/// What it tells one of them to wait.
const TOLD: Duration = Duration::from_secs(3);
/// Times that each feed is asked.
const TIMES: usize = 4;

/// What became of a feed's questions.
#[derive(Default)]
struct Feed {
    asked: usize,
    answered: Option<Instant>,
    /// How long after the answer it may be asked again.
    due: Duration,
    /// It came before that.
    too_soon: Vec<Duration>,
}

type Feeds = Arc<Mutex<HashMap<String, Feed>>>;

/// There is always more. The second question of one feed is one too many, that of another finds the session over, that of a third
/// the database away.
async fn answer(State(feeds): State<Feeds>, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    if request["method"] == "Authenticate" {
        let credentials = json!({"database": "acme", "userName": "patio", "sessionId": "1"});
        return json!({"result": {"credentials": credentials, "path": "ThisServer"}})
            .to_string()
            .into_response();
    }
    let mut feeds = feeds.lock().unwrap();
    let entity = request["params"]["typeName"].as_str().unwrap().to_owned();
    let feed = feeds.entry(entity.clone()).or_default();
    let since = feed.answered.map(|answered| answered.elapsed());
    feed.too_soon
        .extend(since.filter(|since| *since < feed.due));
    feed.asked += 1;
    feed.due = PERMITTED;
    let answer = match (entity.as_str(), feed.asked) {
        ("StatusData", 2) => {
            feed.due = TOLD;
            let told = [("retry-after", TOLD.as_secs().to_string())];
            let refusal = error("OverLimitException").to_string();
            (StatusCode::TOO_MANY_REQUESTS, told, refusal).into_response()
        }
        ("FaultData", 2) => error("InvalidUserException").to_string().into_response(),
        ("Device", 2) => error("DbUnavailableException").to_string().into_response(),
        (_, asked) => {
            let record = json!({"id": format!("x{asked}"), "device": {"id": "NoDeviceId"}});
            json!({"result": {"data": [record], "toVersion": asked.to_string()}})
                .to_string()
                .into_response()
        }
    };
    feed.answered = Some(Instant::now());
    answer
}

#[test]
fn feeds_are_asked_no_faster_than_permitted() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        let rooms = [
            platform::room(),
            telemetry::room(),
            devices::room(),
            geotab::room(),
        ];
        platform::migrate(&db, &rooms).await.unwrap();
        let clock = Clock::system();
        telemetry::prepare_storage(&db, clock.now()).await.unwrap();
        let register = Register::new(db.clone(), clock.clone());
        register.add_organization("acme").await.unwrap();
        let ring = Ring::read(&Ring::new_line(1).unwrap()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let feeds = Feeds::default();
        let router = Router::new()
            .route("/apiv1", post(answer))
            .with_state(Arc::clone(&feeds));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let account = NewAccount {
            organization: "acme",
            server: &server,
            database: "acme",
            user: "patio",
            password: "secret",
        };
        let since = Timestamp::UNIX_EPOCH;
        geotab::add(&db, &ring, &account, since).await.unwrap();
        // The pace is that of the service in use; only the way there is not.
        let settings = Settings {
            scheme: "http",
            limit: 1,
            ..Settings::every(Duration::from_millis(1))
        };
        let rules = Rules {
            plain_http: true,
            any_address: true,
            ..RULES
        };
        let sink = Sink::new(db.clone(), clock);
        let poller = Poller::new(sink, ring, Client::new(rules), settings, "test".to_owned());
        let stop = CancellationToken::new();
        let running = tokio::spawn(poller.run(stop.clone()));
        let asked = || {
            let feeds = feeds.lock().unwrap();
            feeds.len() == 4 && feeds.values().all(|feed| feed.asked >= TIMES)
        };
        let begun = Instant::now();
        while !asked() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stop.cancel();
        running.await.unwrap();
        for (entity, feed) in feeds.lock().unwrap().iter() {
            let too_soon = &feed.too_soon;
            assert!(too_soon.is_empty(), "{entity}: {too_soon:?}");
        }
    });
}
