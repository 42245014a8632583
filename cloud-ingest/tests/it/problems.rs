//! Every problem there is: each code of the table is what some request is answered with.

use std::{collections::HashSet, time::Duration};

use platform::testing::{TestDatabase, on_each_database};
use serde_json::json;
use web::Code;

use crate::{
    access::{EMAIL, PASSWORD, add_user, code, me, post, sign_in},
    files::clamd,
    http::ask,
    machine::{free_address, until},
    rooms::with,
    serve::Wire,
    service::{EMBEDDED, Place, Service},
};

/// The codes of people, webhooks, jobs and files.
async fn reach_rooms(service: &Service, reached: &mut HashSet<String>) {
    let file = "content-type: text/plain\r\n";
    let person = json!({"email": "boss@example.com", "name": "Boss", "password": PASSWORD, "roles": ["administrator"]});
    let made = service.post("/v1/users", "", &person.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let boss = made.json()["id"].clone();
    let signed = json!({"email": "boss@example.com", "password": PASSWORD}).to_string();
    let tokens = service.post("/v1/sign-in", "", &signed).await.json();
    let token = tokens["access_token"].as_str().unwrap();
    let objection = json!({"kind": "objection", "subject": format!("user:{boss}")}).to_string();
    let written = service.post("/v1/privacy/requests", "", &objection).await;
    assert_eq!(written.status, 201, "{}", written.body);
    let refusal = json!({"because": "no"}).to_string();
    let send = async |headers: &str, content: &str| {
        let headers = format!("{file}content-length: {}\r\n{headers}", content.len());
        service
            .ask("POST /v1/files?name=a", &headers, content)
            .await
    };
    let kept = send("", "content").await;
    assert_eq!(kept.status, 201, "{}", kept.body);
    let links = format!("/v1/files/{}/links", kept.json()["id"]);
    let link = service.post(&links, "", r#"{"seconds":1}"#).await.json();
    let link = format!("GET {}", link["path"].as_str().unwrap());
    until("the link has expired", 20, || async {
        ask(&service.http, &link, "", "").await.status == 410
    })
    .await;
    for answer in [
        service.get("/v1/users?limit=0").await,
        service.ask("POST /v1/users/999/disable", "", "").await,
        service.post("/v1/users", "", &person.to_string()).await,
        with(
            service,
            token,
            &format!("POST /v1/users/{boss}/disable"),
            "",
        )
        .await,
        service.post("/v1/privacy/requests", "", &objection).await,
        service
            .post("/v1/privacy/requests/1/refuse", "", &refusal)
            .await,
        service
            .post("/v1/privacy/requests/1/refuse", "", &refusal)
            .await,
        service.get("/v1/webhooks/999").await,
        service.get("/v1/webhooks/999/deliveries/9").await,
        service.get("/v1/jobs/dead/999").await,
        service.get("/v1/files/999").await,
        ask(&service.http, "GET /v1/links/AAAA", "", "").await,
        ask(&service.http, &link, "", "").await,
        send(
            "content-digest: sha-256=:7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=:\r\n",
            "other",
        )
        .await,
        send("", "EICAR").await,
        send("", "DOWN").await,
    ] {
        if answer.status >= 400 {
            reached.insert(code(&answer));
        }
    }
}

/// The codes of depots, and of providers to sign in at.
async fn reach_depots_and_providers(
    place: &Place,
    service: &Service,
    reached: &mut HashSet<String>,
) {
    let depot = json!({"text": include_str!("../../../depot-config/depots/demo.toml")}).to_string();
    for (condition, body) in [
        ("", depot.as_str()),
        ("if-match: \"1-0\"\r\n", &depot),
        ("if-none-match: *\r\n", r#"{"text":"a = 1"}"#),
    ] {
        let headers = format!(
            "content-type: application/json\r\ncontent-length: {}\r\n{condition}",
            body.len()
        );
        reached.insert(code(
            &service.ask("PUT /v1/depots/demo", &headers, body).await,
        ));
    }
    let issuer = format!("http://{}", free_address());
    let ring = place.ring();
    let add = [
        "oidc",
        "add",
        "dead",
        "--issuer",
        &issuer,
        "--client-id",
        "patio",
        "--ring",
        ring.to_str().unwrap(),
    ];
    place.run_with(&add, "secret");
    for path in [
        "/v1/depots/none",
        "/v1/quarantine/999",
        "/v1/sign-in/oidc/none",
        "/v1/sign-in/oidc/dead",
    ] {
        reached.insert(code(&service.get(path).await));
    }
}

/// Each code of the table is what some request is answered with.
#[test]
fn every_problem_can_be_reached() {
    on_each_database(async |database: TestDatabase| {
        let (before, rest) = database.url.split_once('@').unwrap();
        let Some(target) = rest.split('/').next().and_then(|host| host.parse().ok()) else {
            eprintln!(
                "skipped: {} is reached by no TCP address that could be cut",
                database.label
            );
            return;
        };
        let wire = Wire::to(target).await;
        let through = format!(
            "{before}@{}{}",
            wire.listen,
            rest.trim_start_matches(|c| c != '/')
        );
        let place = Place::new(&through, EMBEDDED);
        let bare_place = Place::new(&database.url, EMBEDDED);
        let bare = bare_place.serve();
        let text = std::fs::read_to_string(place.config()).unwrap();
        let files = format!(
            "[files]\nfolder = \"files\"\nclamd = \"{}\"\n",
            clamd().await
        );
        std::fs::write(place.config(), text + &files).unwrap();
        let service = place.serve();
        add_user(&place, "viewer");
        let db = database.connect().await;
        let owner = db.owner().await.unwrap();
        let mut reached = HashSet::new();
        let viewer = format!(
            "authorization: Bearer {}\r\n",
            place.key("default", &["telemetry.read"])
        );
        let asset = json!({"name": "Van 1"});
        let page = sign_in(&service, PASSWORD, true).await;
        let cookie = format!(
            "cookie: {}\r\n",
            page.headers["set-cookie"].split(';').next().unwrap()
        );
        let tokens = sign_in(&service, PASSWORD, false).await.json();
        let refresh = json!({"refresh_token": tokens["refresh_token"]});
        assert_eq!(
            post(&service, "/v1/refresh", "", &refresh).await.status,
            200
        );
        for answer in [
            service.get("/v1/assets?limit=0").await,
            service.get("/v1/assets/%ff/latest").await,
            service.post("/v1/assets", "", r#"{"nam":1}"#).await,
            service
                .post("/v1/assets", "idempotency-key: a b\r\n", "{}")
                .await,
            me(&service, "").await,
            me(&service, "authorization: Bearer patio_key_0\r\n").await,
            sign_in(&service, "wrong password", false).await,
            post(&service, "/v1/refresh", "", &refresh).await,
            post(&service, "/v1/assets", &viewer, &asset).await,
            post(&service, "/v1/assets", &cookie, &asset).await,
            service.get("/v1/assets/999/latest").await,
            service.ask("DELETE /v1/keys/999", "", "").await,
            service.get("/v1/nothing").await,
            service
                .ask("PUT /v1/assets", "content-length: 0\r\n", "")
                .await,
            service
                .ask(
                    "POST /v1/assets",
                    "content-type: application/json\r\ncontent-length: 100000\r\n",
                    "",
                )
                .await,
            service
                .ask("POST /v1/assets", "content-length: 2\r\n", "{}")
                .await,
        ] {
            reached.insert(code(&answer));
        }
        reach_rooms(&service, &mut reached).await;
        reach_depots_and_providers(&place, &service, &mut reached).await;
        // A service without a place for files.
        let headers = "content-type: text/plain\r\ncontent-length: 1\r\n";
        reached.insert(code(&bare.ask("POST /v1/files?name=a", headers, "a").await));
        bare.stop();
        assert_eq!(
            service
                .post("/v1/assets", "idempotency-key: a\r\n", r#"{"name":"a"}"#)
                .await
                .status,
            201
        );
        reached.insert(code(
            &service
                .post("/v1/assets", "idempotency-key: a\r\n", r#"{"name":"b"}"#)
                .await,
        ));
        let ring = place.ring();
        place.run(&["user", "codes", EMAIL, "--ring", ring.to_str().unwrap()]);
        reached.insert(code(&sign_in(&service, PASSWORD, false).await));
        // Who asks without a key asks so often and no more, whatever for.
        for _ in 0..70 {
            let answer = me(&service, "").await;
            if answer.status == 429 {
                let wait: u64 = answer.headers["retry-after"].parse().unwrap();
                assert!((1..=61).contains(&wait));
                reached.insert(code(&answer));
                break;
            }
        }
        assert_eq!(service.get("/v1/assets").await.status, 200, "others go on");

        owner
            .batch_execute("ALTER TABLE platform.gateway RENAME TO elsewhere")
            .await
            .unwrap();
        reached.insert(code(&service.get("/v1/gateways").await));
        owner
            .batch_execute("ALTER TABLE platform.elsewhere RENAME TO gateway")
            .await
            .unwrap();
        owner
            .batch_execute("BEGIN; LOCK TABLE platform.gateway IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        reached.insert(code(&service.get("/v1/gateways").await));
        owner.batch_execute("ROLLBACK").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.cut(true);
        reached.insert(code(&service.get("/v1/gateways").await));
        wire.cut(false);

        let all: HashSet<String> = Code::ALL
            .iter()
            .map(|code| code.word().to_owned())
            .collect();
        let missing: Vec<_> = all.difference(&reached).collect();
        assert!(missing.is_empty(), "never reached: {missing:?}");
        service.stop();
    });
}
