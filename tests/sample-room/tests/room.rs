//! The sample room from its API to the receiver of its webhook, on every flavour.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    io,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use access::{Access, Permissions};
use axum::middleware::{from_fn, from_fn_with_state};
use events::{
    Relay,
    webhooks::{Deliverer, Endpoints},
};
use hyper::Method;
use jobs::{Bell, Settings, Worker};
use outbound::{Answer, Client, Request, Rules, standin::StandIn};
use platform::{
    Clock, Register, Scope, migrate,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use sample_room::{Lapser, Sample};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vault::Ring;
use web::{Guard, guard, limit::Limits, request};

fn client() -> Client {
    Client::new(Rules {
        plain_http: true,
        any_address: true,
        ..Rules::STRANGERS
    })
}

/// What this process has logged, an object a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    /// The kinds of job that were done in a request, and whether it was answered.
    fn of(&self, request: &str) -> (BTreeSet<String>, bool) {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let (mut kinds, mut answered) = (BTreeSet::new(), false);
        for line in lines.collect::<Vec<Value>>() {
            let said = &line["fields"]["message"];
            for span in line["spans"].as_array().into_iter().flatten() {
                if span["name"] == "job" && span["request"] == request && said == "a job is done" {
                    kinds.insert(span["kind"].as_str().unwrap().to_owned());
                }
                answered |=
                    span["name"] == "request" && span["id"] == request && said == "answered";
            }
        }
        (kinds, answered)
    }
}

struct Api(String, Client);

impl Api {
    async fn call(
        &self,
        method: Method,
        query: &str,
        key: &str,
        once: &str,
        body: &str,
    ) -> (u16, Value) {
        let url = format!("{}/v1/readiness{query}", self.0).parse().unwrap();
        let request = Request::new(method, url, body.to_owned())
            .header("authorization", &format!("Bearer {key}"))
            .header("content-type", "application/json")
            .header("idempotency-key", once);
        let answer: Answer = self.1.call(request).await.unwrap();
        (
            answer.status,
            serde_json::from_slice(&answer.body).unwrap_or_default(),
        )
    }
}

#[test]
fn a_room_has_all_that_a_room_needs() {
    let log = Log::begin();
    on_each_database(move |database| {
        let log = log.clone();
        async move { whole(database, &log).await }
    });
}

async fn whole(database: TestDatabase, log: &Log) {
    let db = database.connect().await;
    let rooms = [
        platform::room(),
        access::room(),
        web::room(),
        jobs::room(),
        events::room(),
        audit::room(),
        sample_room::room(),
    ];
    migrate(&db, &rooms).await.unwrap();
    migrate(&db, &rooms).await.unwrap();
    assert_commented(&db, "sample").await;
    assert_eq!(
        prepare_all(&db, &Path::new(env!("CARGO_MANIFEST_DIR")).join("queries")).await,
        3
    );

    let (clock, hand) = Clock::by_hand("2026-03-02T12:00:00Z".parse().unwrap());
    let register = Register::new(db.clone(), clock.clone());
    let access = Access::new(db.clone(), clock.clone());
    let mut keys = Vec::new();
    let mut scopes = Vec::new();
    for (name, may) in [
        ("acme", "assets.write"),
        ("acme", "telemetry.read"),
        ("other", "assets.write"),
    ] {
        let scope = Scope::of_system(register.add_organization(name).await.unwrap(), "test");
        let permissions = Permissions::named([may]).unwrap();
        keys.push(
            access
                .add_key(&scope, "test", &permissions, None)
                .await
                .unwrap()
                .key,
        );
        scopes.push(scope);
    }
    let (acme, other) = (&scopes[0], &scopes[2]);
    let tx = db.tenant(acme).await.unwrap();
    drop(tx);
    let add = "INSERT INTO platform.asset (organization_id, kind, name) VALUES ($1, 'vehicle', 'car') RETURNING id";
    let asset: i32 = db
        .system()
        .await
        .unwrap()
        .query_one(add, &[&acme.organization])
        .await
        .unwrap()
        .get(0);

    let (router, document) = sample_room::routes().split_for_parts();
    let often = NonZeroU32::new(1000).unwrap();
    let document = serde_json::to_value(&document).unwrap();
    let before = Guard::new(&document, access, Arc::new(Limits::new(often, often))).unwrap();
    let service = router
        .with_state(Sample {
            db: db.clone(),
            clock: clock.clone(),
        })
        .layer(from_fn_with_state(before, guard::guard))
        .layer(from_fn(request::identify));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Api(
        format!("http://{}", listener.local_addr().unwrap()),
        client(),
    );
    tokio::spawn(async move { axum::serve(listener, service).await });

    let receiver = StandIn::start([]).await;
    let ring = Ring::read(&Ring::new_line(1).unwrap()).unwrap();
    let tx = db.tenant(acme).await.unwrap();
    Endpoints::new(ring.clone(), client())
        .add(
            &tx,
            acme,
            &receiver.url("/"),
            &["vehicle.ready"],
            "",
            clock.now(),
        )
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let stop = CancellationToken::new();
    let look = Duration::from_millis(10);
    tokio::spawn(Relay::new(db.clone(), clock.clone(), Bell::silent(), look).run(stop.clone()));
    let settings = Settings {
        look,
        lease: Duration::from_hours(24),
        ..Settings::default()
    };
    let worker = Worker::new(db.clone(), clock.clone(), Bell::silent(), settings)
        .effect(Lapser)
        .task(Deliverer::new(db.clone(), ring, client()));
    let working = tokio::spawn(worker.run(stop.clone()));

    // The API: who may, what is wrong, once.
    let good = json!({"asset": asset, "state_of_charge": 86.5}).to_string();
    let post =
        async |key: &str, once: &str, body: &str| api.call(Method::POST, "", key, once, body).await;
    assert_eq!(post("nobody", "a", &good).await.0, 401);
    assert_eq!(post(&keys[1], "a", &good).await.0, 403);
    assert_eq!(post(&keys[2], "a", &good).await.0, 404, "another's vehicle");
    let (status, problem) = post(&keys[0], "a", &good.replace("86.5", "101")).await;
    assert_eq!(
        (status, &problem["field"], &problem["value"]),
        (400, &json!("state_of_charge"), &json!("101"))
    );
    let (status, kept) = post(&keys[0], "b", &good).await;
    assert_eq!(
        (status, &kept["state_of_charge"]),
        (201, &json!(86.5)),
        "{kept}"
    );
    assert_eq!(
        post(&keys[0], "b", &good).await,
        (201, kept.clone()),
        "the same answer"
    );
    assert_eq!(post(&keys[0], "c", &good).await.0, 201);
    let (_, page) = api.call(Method::GET, "?limit=1", &keys[1], "x", "").await;
    assert_eq!(
        (&page["items"][0], page["items"].as_array().unwrap().len()),
        (&kept, 1)
    );
    let next = format!("?cursor={}", page["next"].as_str().unwrap());
    let (_, page) = api.call(Method::GET, &next, &keys[1], "x", "").await;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["next"]),
        (1, &Value::Null)
    );

    // The webhook.
    for _ in 0..1000 {
        if receiver.seen().len() == 2 {
            break;
        }
        tokio::time::sleep(look).await;
    }
    let told: Value = serde_json::from_slice(&receiver.seen()[0].body).unwrap();
    assert_eq!(
        (&told["type"], &told["data"]["asset"]),
        (&json!("vehicle.ready"), &json!(asset))
    );

    // The job, and the audit of all of it.
    hand.advance(Duration::from_hours(12));
    for _ in 0..1000 {
        let done = "SELECT NOT EXISTS (SELECT FROM jobs.job) AND NOT EXISTS (SELECT FROM sample.readiness WHERE lapsed_at IS NULL)";
        if db
            .system()
            .await
            .unwrap()
            .query_one(done, &[])
            .await
            .unwrap()
            .get(0)
        {
            break;
        }
        tokio::time::sleep(look).await;
    }
    stop.cancel();
    working.await.unwrap().unwrap();
    let tx = db.tenant(acme).await.unwrap();
    let mut trail = audit::trail(&tx, acme.organization, audit::Filter::default(), None, 10)
        .await
        .unwrap();
    trail.retain(|was| was.action.starts_with("sample."));
    let mut actions: Vec<_> = trail
        .iter()
        .map(|was| {
            (
                was.action.as_str(),
                was.actor.as_str().split(':').next().unwrap(),
            )
        })
        .collect();
    actions.sort_unstable();
    let declared = ("sample.declare_ready", "key");
    let lapsed = ("sample.lapse", "job");
    assert_eq!(actions, [declared, declared, lapsed, lapsed]);
    // The request goes through to the job that it asked for.
    let requests = |action: &str| -> BTreeSet<&str> {
        let of = trail.iter().filter(|was| was.action == action);
        of.map(|was| was.request_id.as_str()).collect()
    };
    assert_eq!(requests("sample.declare_ready"), requests("sample.lapse"));
    assert_eq!(requests("sample.lapse").len(), 2);
    // And to the receivers of what happened in it.
    let sent = receiver.seen();
    let heard: BTreeSet<&str> = sent
        .iter()
        .filter_map(|one| one.header("x-request-id"))
        .collect();
    assert_eq!(heard, requests("sample.declare_ready"));
    assert!(heard.contains(told["request"].as_str().unwrap()), "{told}");
    // And it finds every line of the log about them.
    for request in heard {
        let (kinds, answered) = log.of(request);
        let jobs = BTreeSet::from(["events.deliver".to_owned(), "sample.lapse".to_owned()]);
        assert_eq!((kinds, answered), (jobs, true), "{request}");
    }
    drop(tx);
    let report = audit::verify(&db, &[]).await.unwrap();
    assert_eq!(report.findings, []);
    assert!(report.entries >= 4);

    // Another organisation sees none of it.
    let tx = db.tenant(other).await.unwrap();
    for table in [
        "sample.readiness",
        "jobs.job",
        "events.log",
        "events.delivery",
        // Its own key is noted there.
        "audit.entry WHERE action LIKE 'sample.%'",
    ] {
        let row = tx
            .query_one(&format!("SELECT count(*) FROM {table}"), &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "{table}");
    }
}
