//! The routes of the platform's rooms: people, files, webhooks, jobs that were given up, the audit trail.

use events::{Event, publish};
use jiff::Timestamp;
use platform::{
    Db, Register, Scope,
    testing::{TestDatabase, on_each_database},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    http::{Answer, ask},
    machine::until,
    service::{EMBEDDED, Place, Service},
};

/// A scanner that speaks clamd's protocol: it finds something in `EICAR`, and cannot look at `DOWN`.
pub(crate) async fn clamd() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut hello = [0; 10];
                stream.read_exact(&mut hello).await.unwrap();
                let mut content = Vec::new();
                loop {
                    let length = stream.read_u32().await.unwrap();
                    if length == 0 {
                        break;
                    }
                    let mut chunk = vec![0; length as usize];
                    stream.read_exact(&mut chunk).await.unwrap();
                    content.extend(chunk);
                }
                let text = String::from_utf8_lossy(&content);
                let reply = if text.contains("EICAR") {
                    "stream: Win.Test.EICAR_HDB-1 FOUND\0"
                } else if text.contains("DOWN") {
                    "no memory. ERROR\0"
                } else {
                    "stream: OK\0"
                };
                // Who asked may have gone.
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    address
}

pub(crate) fn code(answer: &Answer) -> (u16, String) {
    let word = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status, word)
}

pub(crate) async fn scope(db: &Db, organization: &str) -> Scope {
    let register = Register::new(db.clone(), platform::Clock::system());
    let id = register.organization(organization).await.unwrap().unwrap();
    Scope::of_system(id, "test")
}

pub(crate) async fn tell(db: &Db, scope: &Scope, name: &str, of: &str, payload: Value) {
    let tx = db.tenant(scope).await.unwrap();
    let event = Event { name, of, payload };
    publish(&tx, scope, &[event], Timestamp::now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// Asks with a key, and a body where there is one.
pub(crate) async fn with(service: &Service, key: &str, request: &str, body: &str) -> Answer {
    let headers = format!(
        "authorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    ask(&service.http, request, &headers, body).await
}

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

#[test]
fn files_are_kept_scanned_and_given_out_by_links() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip(&format!("clamd = \"{}\"\n", clamd().await));
        let service = place.serve();
        let send = async |name: &str, headers: &str, content: &str| {
            let headers = format!(
                "content-type: text/plain\r\ncontent-length: {}\r\n{headers}",
                content.len()
            );
            service
                .ask(&format!("POST /v1/files?name={name}"), &headers, content)
                .await
        };
        // Longer than other bodies may be.
        let content = "the left door ".repeat(20_000);
        let once = "idempotency-key: f1\r\n";
        let made = send("a%C3%B1o%201.txt", once, &content).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let file = made.json();
        assert_eq!(
            (
                &file["name"],
                &file["size"],
                &file["scanned"],
                &file["media_type"]
            ),
            (
                &json!("año 1.txt"),
                &json!(280_000),
                &json!(true),
                &json!("text/plain")
            )
        );
        assert_eq!(
            send("a%C3%B1o%201.txt", once, &content).await.json(),
            file,
            "the same answer"
        );
        let good = "content-digest: sha-256=:7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=:\r\n";
        assert_eq!(send("b", good, "content").await.status, 201);
        for (name, headers, content, status, word) in [
            ("b", good, "Content", 422, "checksum_mismatch"),
            (
                "b",
                "content-digest: sha-256=x\r\n",
                "c",
                400,
                "bad_parameter",
            ),
            ("b", "", "an EICAR test", 422, "file_infected"),
            ("b", "", "the scanner is DOWN", 503, "files_unavailable"),
            ("a%2Fb", "", "c", 400, "bad_parameter"),
            ("", "", "c", 400, "bad_parameter"),
        ] {
            let answer = send(name, headers, content).await;
            assert_eq!(code(&answer), (status, word.to_owned()), "{content}");
        }
        let headers = "content-type: text/plain\r\ncontent-length: 99999999\r\n";
        let answer = service.ask("POST /v1/files?name=x", headers, "").await;
        assert_eq!(code(&answer), (413, "body_too_long".to_owned()));
        let page = service.get("/v1/files?limit=1").await.json();
        assert_eq!(page["items"], json!([file]));
        let page = service
            .get(&format!(
                "/v1/files?cursor={}",
                page["next"].as_str().unwrap()
            ))
            .await;
        assert_eq!(
            page.json()["items"].as_array().unwrap().len(),
            1,
            "nothing that was refused is there"
        );
        let same = service
            .get(&format!(
                "/v1/files?sha256={}",
                file["sha256"].as_str().unwrap()
            ))
            .await;
        assert_eq!(same.json()["items"], json!([file]));

        let path = format!("/v1/files/{}", file["id"]);
        assert_eq!(service.get(&path).await.json(), file);
        let link = async |seconds: u32| {
            let body = json!({"seconds": seconds}).to_string();
            let made = service.post(&format!("{path}/links"), "", &body).await;
            assert_eq!(made.status, 201, "{}", made.body);
            made.json()["path"].as_str().unwrap().to_owned()
        };
        let address = link(900).await;
        let got = ask(&service.http, &format!("GET {address}"), "", "").await;
        assert_eq!((got.status, got.body.len()), (200, content.len()));
        assert_eq!(got.body, content);
        assert_eq!(got.headers["content-type"], "text/plain");
        assert_eq!(got.headers["x-content-type-options"], "nosniff");
        assert_eq!(
            got.headers["content-disposition"],
            "attachment; filename*=UTF-8''a%C3%B1o%201.txt"
        );
        let forged = ask(&service.http, "GET /v1/links/AAAA", "", "").await;
        assert_eq!(code(&forged), (404, "link_not_good".to_owned()));
        let short = link(1).await;
        until("it has expired", 20, || async {
            let answer = ask(&service.http, &format!("GET {short}"), "", "").await;
            answer.status == 410 && answer.json()["code"] == "link_expired"
        })
        .await;
        let theirs = place.key("other", &["files.read", "files.write"]);
        for request in ["GET", "DELETE"] {
            let answer = with(&service, &theirs, &format!("{request} {path}"), "").await;
            assert_eq!(code(&answer), (404, "file_not_found".to_owned()));
        }
        let list = with(&service, &theirs, "GET /v1/files", "").await.json();
        assert_eq!(list["items"], json!([]));
        assert_eq!(
            service.ask(&format!("DELETE {path}"), "", "").await.status,
            204
        );
        assert_eq!(service.get(&path).await.status, 404);
        let gone = ask(&service.http, &format!("GET {address}"), "", "").await;
        assert_eq!(code(&gone), (404, "file_not_found".to_owned()));
        service.stop();
    });
}

#[test]
fn jobs_that_were_given_up_are_looked_at_and_tried_again() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let db = database.connect().await;
        let own = scope(&db, "default").await;
        let client = db.system().await.unwrap();
        // Of a kind that this program does not know, so that nobody takes them when they wait again.
        for id in 1..=5_i64 {
            let add = "INSERT INTO jobs.dead (id, organization_id, kind, payload, priority, attempts, max_attempts, \
                       request_id, created_at, died_at, reason) \
                       VALUES ($1, $2, 'test.work', '{\"n\": 1}', 1, 3, 3, 'r-1', now(), now(), 'not yet')";
            client
                .execute(add, &[&id, &own.organization])
                .await
                .unwrap();
        }
        let page = service.get("/v1/jobs/dead?limit=2").await.json();
        let ids: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| &job["id"])
            .collect();
        assert_eq!(ids, [5, 4]);
        let rest = service
            .get(&format!(
                "/v1/jobs/dead?cursor={}",
                page["next"].as_str().unwrap()
            ))
            .await;
        assert_eq!(rest.json()["items"].as_array().unwrap().len(), 3);
        let none = service.get("/v1/jobs/dead?kind=test.other").await.json();
        assert_eq!(none["items"], json!([]));
        let one = service.get("/v1/jobs/dead/3").await.json();
        assert_eq!(
            (&one["reason"], &one["request_id"]),
            (&json!("not yet"), &json!("r-1"))
        );
        let theirs = place.key("other", &["jobs.read", "jobs.manage"]);
        for request in [
            "GET /v1/jobs/dead/3",
            "POST /v1/jobs/dead/3/replay",
            "DELETE /v1/jobs/dead/3",
        ] {
            let answer = with(&service, &theirs, request, "").await;
            assert_eq!(
                code(&answer),
                (404, "dead_letter_not_found".to_owned()),
                "{request}"
            );
        }
        assert_eq!(
            service
                .ask("POST /v1/jobs/dead/3/replay", "", "")
                .await
                .status,
            204
        );
        assert_eq!(
            service.ask("DELETE /v1/jobs/dead/4", "", "").await.status,
            204
        );
        for id in [3, 4] {
            assert_eq!(
                service.get(&format!("/v1/jobs/dead/{id}")).await.status,
                404
            );
        }
        let waiting =
            "SELECT count(*) FROM jobs.job WHERE kind = 'test.work' AND request_id = 'r-1'";
        let row = client.query_one(waiting, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1);
        service.stop();
    });
}

#[test]
fn people_are_managed_by_those_who_may_no_less() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let person = |email: &str, role: &str| {
            json!({"email": email, "name": "Somebody", "password": "correct horse battery staple", "roles": [role]}).to_string()
        };
        let add = async |email: &str, role: &str| {
            let made = service
                .post(
                    "/v1/users",
                    "x-request-id: people-1\r\n",
                    &person(email, role),
                )
                .await;
            assert_eq!(made.status, 201, "{}", made.body);
            made.json()["id"].as_i64().unwrap()
        };
        let (boss, eve) = (
            add("boss@example.com", "administrator").await,
            add("eve@example.com", "viewer").await,
        );
        let taken = service
            .post("/v1/users", "", &person("eve@example.com", "viewer"))
            .await;
        assert_eq!(code(&taken), (409, "email_taken".to_owned()));
        let nobody = service
            .post("/v1/users", "", &person("x@example.com", "king"))
            .await;
        assert_eq!(code(&nobody), (400, "bad_body".to_owned()));
        let list = service.get("/v1/users?limit=1").await.json();
        assert_eq!(
            (&list["items"][0]["id"], &list["next"]),
            (&json!(boss), &json!(boss.to_string()))
        );
        let roles = service.get("/v1/roles").await.json();
        assert!(
            roles["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|role| role["name"] == "viewer")
        );

        // A key that manages people and may nothing else makes nobody greater than itself, and touches nobody who is.
        let small = place.key("default", &["users.manage", "users.read"]);
        let more = with(
            &service,
            &small,
            "POST /v1/users",
            &person("y@example.com", "viewer"),
        )
        .await;
        assert_eq!(code(&more), (403, "permission_missing".to_owned()));
        let password = json!({"password": "another horse battery staple"}).to_string();
        let touch = with(
            &service,
            &small,
            &format!("PUT /v1/users/{boss}/password"),
            &password,
        )
        .await;
        assert_eq!(code(&touch), (403, "permission_missing".to_owned()));

        let signed =
            json!({"email": "boss@example.com", "password": "correct horse battery staple"})
                .to_string();
        let tokens = service.post("/v1/sign-in", "", &signed).await.json();
        let token = tokens["access_token"].as_str().unwrap();
        let own = with(
            &service,
            token,
            &format!("POST /v1/users/{boss}/disable"),
            "",
        )
        .await;
        assert_eq!(code(&own), (409, "own_user".to_owned()));
        let roles = json!({"roles": ["operator"]}).to_string();
        assert_eq!(
            with(
                &service,
                token,
                &format!("PUT /v1/users/{eve}/roles"),
                &roles
            )
            .await
            .status,
            204
        );
        let codes = with(&service, token, &format!("POST /v1/users/{eve}/codes"), "")
            .await
            .json();
        assert!(
            codes["url"]
                .as_str()
                .unwrap()
                .starts_with("otpauth://totp/")
        );
        assert_eq!(
            with(
                &service,
                token,
                &format!("PUT /v1/users/{eve}/password"),
                &password
            )
            .await
            .status,
            204
        );
        assert_eq!(
            with(
                &service,
                token,
                &format!("POST /v1/users/{eve}/disable"),
                ""
            )
            .await
            .status,
            204
        );
        let page = service
            .get(&format!("/v1/users?cursor={boss}"))
            .await
            .json();
        let of_eve = &page["items"][0];
        assert_eq!(of_eve["roles"], json!(["operator"]));
        assert!(
            of_eve["needs_code"] == true && of_eve["disabled_at"].is_string(),
            "{of_eve}"
        );
        let theirs = place.key(
            "other",
            &[
                "users.read",
                "users.manage",
                "telemetry.read",
                "gateways.read",
            ],
        );
        let answer = with(
            &service,
            &theirs,
            &format!("POST /v1/users/{eve}/disable"),
            "",
        )
        .await;
        assert_eq!(code(&answer), (404, "user_not_found".to_owned()));

        // The trail: by whom, to whom, in which request; nothing that is secret or personal.
        let trail = service.get(&format!("/v1/audit?subject=user:{eve}")).await;
        let was = trail.json();
        let actions: Vec<_> = was["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|was| was["action"].as_str().unwrap())
            .collect();
        assert_eq!(
            actions,
            [
                "access.disable_user",
                "access.set_password",
                "access.require_codes",
                "access.set_roles",
                "access.add_user"
            ]
        );
        let changed = &was["items"][3];
        assert_eq!(
            (&changed["before"], &changed["after"], &changed["actor"]),
            (
                &json!({"roles": ["viewer"]}),
                &json!({"roles": ["operator"]}),
                &json!(format!("user:{boss}"))
            )
        );
        assert!(
            !trail.body.contains("horse") && !trail.body.contains("eve@"),
            "{}",
            trail.body
        );
        let by = service
            .get(&format!("/v1/audit?actor=user:{boss}&limit=3"))
            .await
            .json();
        assert_eq!(by["items"].as_array().unwrap().len(), 3);
        let rest = service
            .get(&format!(
                "/v1/audit?actor=user:{boss}&cursor={}",
                by["next"].as_str().unwrap()
            ))
            .await;
        assert_eq!(rest.json()["items"].as_array().unwrap().len(), 1);
        let request = service.get("/v1/audit?request_id=people-1").await.json();
        assert_eq!(request["items"].as_array().unwrap().len(), 2);
        for path in ["/v1/audit?actor=robot", "/v1/audit?request_id=a%20b"] {
            assert_eq!(
                code(&service.get(path).await),
                (400, "bad_parameter".to_owned()),
                "{path}"
            );
        }
        let empty = with(
            &service,
            &place.key("third", &["audit.read"]),
            "GET /v1/audit?subject=user:1",
            "",
        )
        .await;
        assert_eq!(empty.json()["items"], json!([]));
        // The command follows the chains that the routes have written.
        place.run(&["audit", "verify"]);
        service.stop();
    });
}
