//! Personal data: nothing is kept that the register does not know, and what is erased is nowhere any more.

use std::{collections::BTreeMap, process::Command};

use jiff::SignedDuration;
use platform::{
    Clock, Db,
    testing::{TestDatabase, on_each_database},
};
use serde_json::{Value, json};

use crate::{
    access::{EMAIL, PASSWORD, add_user, code, post, sign_in},
    machine::{pg_programs, program, stderr, until},
    rooms::{scope, tell},
    service::{EMBEDDED, Place, Service},
};

/// Types that hold numbers, truth and instants; whatever else there is could hold something about somebody.
const BARE: [&str; 10] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "double precision",
    "interval",
    "timestamp with time zone",
    "int8multirange",
    "bigint[]",
];
/// Arrays of such.
const BARE_ARRAYS: [&str; 3] = [
    "integer[]",
    "timestamp with time zone[]",
    "double precision[]",
];
/// What names of columns about people and places are made of, whatever the type.
const SPEAKING: [&str; 16] = [
    "email",
    "phone",
    "birth",
    "driver",
    "person",
    "surname",
    "gender",
    "address",
    "licen",
    "salary",
    "curp",
    "latitude",
    "longitude",
    "altitude",
    "heading",
    "user_id",
];

/// What of these tables and columns the register does not know, or knows and there is not.
async fn unknown(db: &Db) -> Vec<String> {
    let register = privacy::register();
    let people: Vec<&str> = register
        .subjects
        .iter()
        .map(|subject| subject.table.as_str())
        .collect();
    let owner = db.owner().await.unwrap();
    let rows = owner
        .query(include_str!("queries/columns.sql"), &[&people])
        .await
        .unwrap();
    let mut faults = Vec::new();
    let mut there: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &rows {
        let (relation, column, kind): (&str, &str, &str) =
            (row.get("plain"), row.get("name"), row.get("type"));
        let known = there.entry(relation.to_owned()).or_default();
        known.push(column.to_owned());
        if relation.ends_with(".migration") {
            if !["version", "name", "applied_on", "checksum"].contains(&column) {
                faults.push(format!(
                    "{relation}.{column} is none of a history of migrations"
                ));
            }
            continue;
        }
        let Some(table) = register.table(relation) else {
            if known.len() == 1 {
                faults.push(format!("{relation} is not in personal-data.toml"));
            }
            continue;
        };
        let about = |columns: &[String]| columns.iter().any(|one| one == column);
        let personal = about(&table.personal) || about(&table.secret);
        let listed = personal
            || about(&table.free)
            || about(&table.free_kept)
            || table.none.contains_key(column);
        let bare = BARE.contains(&kind) || BARE_ARRAYS.contains(&kind);
        let speaks = SPEAKING.iter().any(|word| column.contains(word));
        if !listed && (!bare || speaks) {
            faults.push(format!(
                "{relation}.{column} ({kind}) is not in personal-data.toml"
            ));
        }
        let person: Option<&str> = row.get("person");
        let itself = register.subjects.iter().any(|one| one.table == relation);
        if let Some(person) = person.filter(|_| !personal && !itself) {
            faults.push(format!(
                "{relation}.{column} refers to {person} and is not among `personal`"
            ));
        }
    }
    for table in &register.tables {
        let Some(columns) = there.get(&table.name) else {
            faults.push(format!(
                "{} is in personal-data.toml, and nowhere else",
                table.name
            ));
            continue;
        };
        let named = [
            &table.personal,
            &table.secret,
            &table.free,
            &table.free_kept,
        ];
        for column in named.into_iter().flatten().chain(table.none.keys()) {
            if !columns.contains(column) {
                faults.push(format!("{} has no column {column}", table.name));
            }
        }
    }
    faults
}

#[test]
fn every_table_and_column_is_in_the_register() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        cloud_ingest::rooms::prepare(&db).await.unwrap();
        telemetry::prepare_storage(&db, Clock::system().now())
            .await
            .unwrap();
        let faults = unknown(&db).await;
        assert!(faults.is_empty(), "{faults:#?}");
        let owner = db.owner().await.unwrap();
        let statements = privacy::retain::statements();
        assert!(statements.len() > 30, "{}", statements.len());
        for sql in statements {
            if let Err(error) = owner.prepare(&sql).await {
                panic!("{sql}: {}", platform::failure::in_words(&error));
            }
        }
        // What somebody adds and forgets is found.
        owner
            .batch_execute(
                "CREATE TABLE web.forgotten (id int, organization_id int);
                 ALTER TABLE web.answer ADD COLUMN note text, ADD COLUMN home_latitude double precision;
                 ALTER TABLE depots.depot ADD COLUMN kept_by int REFERENCES access.user",
            )
            .await
            .unwrap();
        let mut faults = unknown(&db).await;
        faults.sort();
        let found: Vec<&str> = faults
            .iter()
            .filter_map(|one| one.split(' ').next())
            .collect();
        assert_eq!(
            found,
            [
                "depots.depot.kept_by",
                "web.answer.home_latitude",
                "web.answer.note",
                "web.forgotten",
            ],
            "{faults:#?}"
        );
    });
}

const NAME: &str = "Ana Quetzalli Pérez";
const PHONE: &str = "+52 55 1234 5678";

/// A whole dump of the database as text: what is anywhere in it is found.
async fn dump(place: &Place, db: &Db) -> Option<String> {
    let version = db.server().await.unwrap().version;
    let programs = pg_programs(place.folder.path(), version)?;
    let output = Command::new(programs.join("pg_dump"))
        .args(["--inserts", "--no-owner", &place.database])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn traces(text: &str) -> Vec<&str> {
    let says = |line: &&str| {
        let line = line.to_lowercase();
        [EMAIL, "quetzalli", "1234 5678", "12345678"]
            .iter()
            .any(|what| line.contains(what))
            || line.contains(&hex::encode(EMAIL))
    };
    text.lines().filter(says).collect()
}

/// Somebody who is named in as many tables as there are ways to do so; returns their number.
async fn leave_traces(place: &Place, service: &Service, db: &Db) -> i64 {
    add_user(place, "viewer");
    let users = service.get("/v1/users").await.json();
    let user = users["items"][0]["id"].as_i64().unwrap();
    let subject = format!("user:{user}");
    let corrected =
        json!({"kind": "rectification", "subject": subject, "corrections": {"name": NAME}});
    let made = service
        .post("/v1/privacy/requests", "", &corrected.to_string())
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let users = service.get("/v1/users").await.json();
    assert_eq!(users["items"][0]["name"], NAME);
    place.run_with(
        &[
            "user",
            "codes",
            EMAIL,
            "--ring",
            place.ring().to_str().unwrap(),
        ],
        "",
    );
    db.owner()
        .await
        .unwrap()
        .batch_execute("UPDATE access.user SET code_sealed = NULL")
        .await
        .unwrap();
    assert_eq!(
        sign_in(service, "wrong password 1", false).await.status,
        401
    );
    assert_eq!(sign_in(service, PASSWORD, true).await.status, 200);
    assert_eq!(sign_in(service, PASSWORD, false).await.status, 200);
    sign_in(service, "wrong password 2", false).await;
    for (path, body) in [
        ("/v1/assets", json!({"name": format!("Van of {NAME}")})),
        (
            "/v1/keys",
            json!({"name": format!("app on {PHONE}"), "scopes": ["telemetry.read"]}),
        ),
        (
            "/v1/webhooks",
            json!({"url": "https://receiver.invalid/", "names": ["vehicle.ready"], "description": format!("ask {}", EMAIL.to_uppercase())}),
        ),
    ] {
        let made = service.post(path, "", &body.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let headers = "content-type: text/plain\r\ncontent-length: 7\r\nidempotency-key: a\r\n";
    let file = "POST /v1/files?name=licencia%20de%20ana%20quetzalli%20p%C3%A9rez.jpg";
    let made = service.ask(file, headers, "content").await;
    assert_eq!(made.status, 201, "{}", made.body);
    let own = scope(db, "default").await;
    tell(
        db,
        &own,
        "vehicle.ready",
        "1",
        json!({"asset": 1, "state_of_charge": 50.0}),
    )
    .await;
    // What other rooms may come to write.
    let sql = format!(
        "INSERT INTO jobs.dead (id, organization_id, kind, payload, priority, attempts, max_attempts, created_at, died_at, reason)
         VALUES (1000, {0}, 'mail.send', '{{\"to\": \"{EMAIL}\", \"text\": \"Hi\\n{NAME}\"}}', 0, 1, 1, now(), now(), 'no mailbox {EMAIL}');
         INSERT INTO events.log (organization_id, position, event_id, aggregate, sequence, name, version, payload, request_id, at)
         VALUES ({0}, 1000, gen_random_uuid(), 'x', 1, 'x', 1, '{{\"call\": \"+525512345678\"}}', 'x', now());
         INSERT INTO web.answer (organization_id, caller, key, method, path, digest, status, body)
         VALUES ({0}, 'user:{user}', 'k', 'POST', '/v1/x', sha256(''), 200, convert_to('{{\"email\":\"{EMAIL}\"}}', 'UTF8'))",
        own.organization
    );
    db.owner().await.unwrap().batch_execute(&sql).await.unwrap();
    user
}

#[test]
fn what_is_erased_is_nowhere_any_more_and_that_is_provable() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let service = place.serve();
        let db = database.connect().await;
        let user = leave_traces(&place, &service, &db).await;
        let subject = format!("user:{user}");
        let Some(before) = dump(&place, &db).await else {
            return;
        };
        assert!(traces(&before).len() >= 8, "{:#?}", traces(&before));

        // Access: everything, but for what nobody is told.
        let asked = json!({"kind": "access", "subject": subject}).to_string();
        let made = service.post("/v1/privacy/requests", "", &asked).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!("/v1/privacy/requests/{}", made.json()["id"]);
        let again = service.post("/v1/privacy/requests", "", &asked).await;
        assert_eq!(code(&again), "privacy_request_open");
        let export = service.post(&format!("{path}/export"), "", "").await;
        assert_eq!(export.status, 200, "{}", export.body);
        assert_eq!(export.headers["cache-control"], "no-store");
        let data = export.json();
        let of = |relation: &str| -> Value {
            let tables = data["tables"].as_array().unwrap();
            let found = tables.iter().find(|table| table["relation"] == relation);
            found
                .unwrap_or_else(|| panic!("{relation}: {data}"))
                .clone()
        };
        let own = of("access.user");
        assert_eq!(
            (&own["rows"][0]["email"], &own["rows"][0]["name"]),
            (&json!(EMAIL), &json!(NAME))
        );
        assert!(own["purpose"].as_str().is_some_and(|why| !why.is_empty()));
        assert_eq!(of("access.session")["rows"].as_array().unwrap().len(), 2);
        assert!(!export.body.contains("argon2"), "{}", export.body);
        assert!(
            data["mentioned_in"].as_array().unwrap().len() >= 5,
            "{data}"
        );
        let ended = service.post(&format!("{path}/export"), "", "").await;
        assert_eq!(code(&ended), "privacy_request_ended");

        // Erasure, by a job.
        let asked = json!({"kind": "erasure", "subject": subject, "also": [PHONE]}).to_string();
        let made = service.post("/v1/privacy/requests", "", &asked).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let (number, receipt) = (made.json()["id"].clone(), made.json()["receipt"].clone());
        let path = format!("/v1/privacy/requests/{number}");
        until("it is carried out", 30, || async {
            service.get(&path).await.json()["state"] == "done"
        })
        .await;
        let shown = service.get(&path).await.json();
        // The outbox and deliveries may still be on their way; nothing of it has a name.
        let after = dump(&place, &db).await.unwrap();
        assert!(traces(&after).is_empty(), "{:#?}", traces(&after));
        assert!(!after.contains(receipt.as_str().unwrap()));
        for trace in [EMAIL, NAME, PHONE] {
            assert!(!shown.to_string().contains(trace), "{shown}");
        }
        assert_eq!(sign_in(&service, PASSWORD, false).await.status, 401);

        // The receipt shows whose data it was.
        let steps = shown["steps"].as_array().unwrap();
        let step = steps
            .iter()
            .find(|step| step["relation"] == "access.user_role")
            .unwrap();
        let owner = db.owner().await.unwrap();
        let salted = "SELECT encode(sha256(decode($1, 'hex') || convert_to(jsonb_build_object('user_id', $2::int, 'role', 'viewer')::text, 'UTF8')), 'hex')";
        let number_of = i32::try_from(user).unwrap();
        let row = owner
            .query_one(salted, &[&receipt.as_str().unwrap(), &number_of])
            .await
            .unwrap();
        assert_eq!(step["digest"], row.get::<_, &str>(0));
        assert_eq!(
            (&step["what"], &step["rows"]),
            (&json!("deleted"), &json!(1))
        );
        let known = format!("{EMAIL}\n{NAME}\n{PHONE}\n");
        let prove = ["privacy", "prove", &number.to_string(), "--known-stdin"];
        let said = place.run_with(&prove, &known);
        assert!(
            said.contains("proof: yes") && !said.contains("NO"),
            "{said}"
        );
        place.run(&["audit", "verify"]);
        // A step that is made nicer, and data that come back, are found.
        for (spoil, restore) in [
            (
                "UPDATE privacy.step SET rows = rows + 1 WHERE relation = 'access.user_role'"
                    .to_owned(),
                "UPDATE privacy.step SET rows = rows - 1 WHERE relation = 'access.user_role'"
                    .to_owned(),
            ),
            (
                format!(
                    "INSERT INTO access.user_role SELECT id, 'viewer', organization_id FROM access.user WHERE id = {user}"
                ),
                "DELETE FROM access.user_role".to_owned(),
            ),
            (
                format!("UPDATE platform.asset SET name = 'Van of {NAME}'"),
                "UPDATE platform.asset SET name = 'Van'".to_owned(),
            ),
        ] {
            owner.batch_execute(&spoil).await.unwrap();
            let output = program()
                .args([
                    "privacy",
                    "prove",
                    &number.to_string(),
                    "--database",
                    &place.database,
                    "--known-stdin",
                ])
                .stdin(std::process::Stdio::from(known_file(&place, &known)))
                .output()
                .unwrap();
            assert_eq!(
                output.status.code(),
                Some(1),
                "{spoil}: {}",
                stderr(&output)
            );
            owner.batch_execute(&restore).await.unwrap();
        }
        place.run_with(&prove, &known);
        service.stop();
    });
}

fn known_file(place: &Place, known: &str) -> std::fs::File {
    let path = place.folder.path().join("known");
    std::fs::write(&path, known).unwrap();
    std::fs::File::open(path).unwrap()
}

#[test]
fn requests_are_of_ones_own_organization_and_rank() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        add_user(&place, "administrator");
        let user = service.get("/v1/users").await.json()["items"][0]["id"].clone();
        let ask = |kind: &str| json!({"kind": kind, "subject": format!("user:{user}")});
        let as_key = async |key: &str, path: &str, body: &Value| {
            post(
                &service,
                path,
                &format!("authorization: Bearer {key}\r\n"),
                body,
            )
            .await
        };
        let requests = "/v1/privacy/requests";
        // Somebody else's.
        let other = place.key("other", &["privacy.read", "privacy.manage", "users.manage"]);
        for kind in ["access", "objection"] {
            let refused = as_key(&other, requests, &ask(kind)).await;
            assert_eq!(code(&refused), "not_found", "{kind}");
        }
        assert_eq!(
            code(&as_key(&other, requests, &ask("erasure")).await),
            "user_not_found"
        );
        // Somebody who may more.
        let low = place.key("default", &["privacy.manage", "privacy.read"]);
        for kind in ["erasure", "rectification"] {
            let mut body = ask(kind);
            if kind == "rectification" {
                body["corrections"] = json!({"email": "mine@example.com"});
            }
            let refused = as_key(&low, requests, &body).await;
            assert_eq!(code(&refused), "permission_missing", "{kind}");
        }
        // What cannot be says which field, and changes nothing.
        for (body, field) in [
            (json!({"kind": "access", "subject": "user:0"}), "subject"),
            (json!({"kind": "access", "subject": "driver:1"}), "subject"),
            (json!({"kind": "forget", "subject": "user:1"}), "kind"),
            (ask("rectification"), "corrections"),
            (
                json!({"kind": "rectification", "subject": format!("user:{user}"), "corrections": {"email": "none"}}),
                "corrections",
            ),
            (
                json!({"kind": "rectification", "subject": format!("user:{user}"), "corrections": {"password_hash": "x"}}),
                "corrections",
            ),
            (
                json!({"kind": "erasure", "subject": format!("user:{user}"), "also": ["x"]}),
                "also",
            ),
        ] {
            let refused = service.post(requests, "", &body.to_string()).await;
            assert_eq!(refused.status, 400, "{body}: {}", refused.body);
            assert_eq!(refused.json()["field"], field, "{body}: {}", refused.body);
        }
        assert_eq!(service.get(requests).await.json()["items"], json!([]));
        // An objection is answered by people.
        let made = service
            .post(requests, "", &ask("objection").to_string())
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!("{requests}/{}", made.json()["id"]);
        let due: jiff::civil::Date = made.json()["due_on"].as_str().unwrap().parse().unwrap();
        let today = privacy::deadline::today(Clock::system().now());
        assert_eq!(due, privacy::deadline::answer_by(today));
        let refuse = format!("{path}/refuse");
        let because = json!({"because": "needed for the contract"}).to_string();
        assert_eq!(
            as_key(&other, &refuse, &json!({"because": "x"}))
                .await
                .status,
            404
        );
        assert_eq!(service.post(&refuse, "", &because).await.status, 204);
        assert_eq!(
            code(&service.post(&refuse, "", &because).await),
            "privacy_request_ended"
        );
        assert_eq!(service.get(&path).await.json()["state"], "refused");
        let list = place.run(&["privacy", "list"]);
        assert!(
            list.contains("objection") && list.contains("refused"),
            "{list}"
        );
        let data = program().args(["privacy", "data"]).output().unwrap();
        let data = String::from_utf8(data.stdout).unwrap();
        assert!(data.contains("| access.user |"), "{data}");
        service.stop();
    });
}

#[test]
fn what_is_over_its_time_goes_by_itself() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let service = place.serve();
        let db = database.connect().await;
        leave_traces(&place, &service, &db).await;
        place.run(&["user", "revoke", EMAIL]);
        service.stop();
        let now = Clock::system().now();
        let at = |days: i64| now + SignedDuration::from_hours(24 * days);
        let retain = async |days: i64| {
            let house = jobs::House::begin(&db).await.unwrap();
            privacy::retain::retain(&house, at(days)).await.unwrap();
            house.commit().await.unwrap();
        };
        let count = async |sql: &str| -> i64 {
            let owner = db.owner().await.unwrap();
            owner.query_one(sql, &[]).await.unwrap().get(0)
        };
        let sessions = "SELECT count(*) FROM access.session";
        let dead = "SELECT count(*) FROM jobs.dead";
        let user = format!("SELECT count(*) FROM access.user WHERE email = '{EMAIL}'");
        retain(20).await;
        assert_eq!((count(sessions).await, count(dead).await), (2, 1));
        assert_eq!(count("SELECT count(*) FROM web.answer").await, 0);
        retain(40).await;
        assert_eq!((count(sessions).await, count(dead).await), (0, 1));
        retain(400).await;
        assert_eq!((count(dead).await, count(&user).await), (0, 1));
        retain(1824).await;
        assert_eq!(count(&user).await, 1);
        retain(1826).await;
        assert_eq!(count(&user).await, 0);
        retain(1827).await;
        let by_itself =
            "SELECT count(*) FROM privacy.request WHERE origin = 'retention' AND state = 'done'";
        assert_eq!(count(by_itself).await, 1, "once");
        assert!(count("SELECT count(*) FROM privacy.forgotten").await >= 3);
        if let Some(text) = dump(&place, &db).await {
            let left = traces(&text);
            // Nobody said what the phone number is.
            let named = left.iter().filter(|line| !line.contains("5678")).count();
            assert_eq!(named, 0, "{left:#?}");
        }
        place.run(&["audit", "verify"]);
    });
}
