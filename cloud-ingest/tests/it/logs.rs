//! The log, at its most talkative, has no secret and nobody's data in it.

use std::fmt::Write as _;

use platform::testing::{TestDatabase, on_each_database};
use serde_json::{Value, json};

use crate::{
    access::{EMAIL, PASSWORD, add_user, me, post, sign_in},
    http::ask,
    machine::until,
    rooms::{scope, tell},
    service::{EMBEDDED, Place, Service},
};

const NAME: &str = "Ana Quetzalli Pérez";
const PHONE: &str = "+52 55 1234 5678";
const WRONG: &str = "a password that is wrong";

/// What must not be in a log, and what it is.
#[derive(Default)]
struct Hidden(Vec<(String, String)>);

impl Hidden {
    fn add(&mut self, what: &str, value: &Value) {
        let text = value.as_str().unwrap_or_else(|| panic!("{what}: {value}"));
        assert!(text.len() > 5, "{what}: `{text}` would be found by chance");
        self.0.push((what.to_owned(), text.to_owned()));
    }

    fn found(&self, log: &str) -> String {
        let lower = log.to_lowercase();
        let mut found = String::new();
        for (what, text) in &self.0 {
            if let Some(at) = lower.find(&text.to_lowercase()) {
                let line = log[..at.min(log.len())]
                    .rfind('\n')
                    .map_or(0, |end| end + 1);
                let line = log[line..].lines().next().unwrap_or_default();
                let _ = writeln!(found, "{what}: {line}");
            }
        }
        found
    }
}

/// Signing in in every way, wrong and right.
async fn people(place: &Place, service: &Service, hidden: &mut Hidden) {
    add_user(place, "operator");
    assert_eq!(sign_in(service, WRONG, false).await.status, 401);
    let tokens = sign_in(service, PASSWORD, false).await.json();
    hidden.add("an access token", &tokens["access_token"]);
    hidden.add("a refresh token", &tokens["refresh_token"]);
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    let next = post(service, "/v1/refresh", "", &refresh).await.json();
    hidden.add("the next access token", &next["access_token"]);
    let reused = post(service, "/v1/refresh", "", &refresh).await;
    assert_eq!(reused.status, 401);
    let page = sign_in(service, PASSWORD, true).await;
    hidden.add("a CSRF token", &page.json()["csrf_token"]);
    let cookie = page.headers["set-cookie"].split(';').next().unwrap();
    hidden.add("a page's cookie", &json!(cookie.split_once('=').unwrap().1));
    assert_eq!(
        me(service, &format!("cookie: {cookie}\r\n")).await.status,
        200
    );
    let bad = "authorization: Bearer patio_key_0123456789ab_secretsecretsecret\r\n";
    assert_eq!(me(service, bad).await.status, 401);
    hidden.add("a bad key", &json!("secretsecretsecret"));
    let ring = place.ring();
    let url = place.run(&["user", "codes", EMAIL, "--ring", ring.to_str().unwrap()]);
    let secret = url
        .split("secret=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    hidden.add("a secret of one-time codes", &json!(secret));
    let code = json!({"email": EMAIL, "password": PASSWORD, "code": "73519364"});
    assert_eq!(post(service, "/v1/sign-in", "", &code).await.status, 401);
    hidden.add("a one-time code", &json!("73519364"));
    let made = post(
        service,
        "/v1/sign-in",
        "",
        &json!({"email": EMAIL, "pasword": "misspelt-key-of-a-secret"}),
    )
    .await;
    assert_eq!(made.status, 400);
    hidden.add("a misspelt field", &json!("misspelt-key-of-a-secret"));
}

/// Keys, webhooks, files, and a provider to sign in at that does not answer.
async fn things(place: &Place, service: &Service, hidden: &mut Hidden) {
    hidden.add("an API key", &json!(service.key));
    let key = json!({"name": format!("app of {NAME}"), "scopes": ["telemetry.read"]});
    let made = service.post("/v1/keys", "", &key.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    hidden.add("a new API key", &made.json()["key"]);
    let hook = json!({"url": "https://receiver.invalid/secret-path-of-a-receiver?key=hook-key-1234", "names": ["vehicle.ready"],
        "description": format!("call {PHONE}")});
    let made = service.post("/v1/webhooks", "", &hook.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    hidden.add("a secret of webhooks", &made.json()["secret"]);
    hidden.add(
        "the path of a receiver",
        &json!("secret-path-of-a-receiver"),
    );
    hidden.add("the query of a receiver", &json!("hook-key-1234"));
    let db = platform::Db::connect(&place.database, 2).await.unwrap();
    let own = scope(&db, "default").await;
    tell(
        &db,
        &own,
        "vehicle.ready",
        "1",
        json!({"asset": 1, "state_of_charge": 50.0}),
    )
    .await;
    until("a delivery failed", 30, || async {
        let page = service.get("/v1/webhooks/1/deliveries").await.json();
        page["items"][0]["attempts"]
            .as_i64()
            .is_some_and(|count| count > 0)
    })
    .await;
    let headers = "content-type: text/plain\r\ncontent-length: 7\r\n";
    let made = service
        .ask(
            "POST /v1/files?name=licencia-quetzalli-zapata.jpg",
            headers,
            "content",
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    hidden.add("the name of a file", &json!("licencia-quetzalli-zapata"));
    let link = service
        .post("/v1/files/1/links", "", r#"{"seconds":60}"#)
        .await
        .json();
    let path = link["path"].as_str().unwrap();
    hidden.add("a link", &json!(path.rsplit('/').next().unwrap()));
    assert_eq!(
        ask(&service.http, &format!("GET {path}"), "", "")
            .await
            .status,
        200
    );
    let (issuer, ring) = (
        format!("http://{}", crate::machine::free_address()),
        place.ring(),
    );
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
    place.run_with(&add, "the-client-secret");
    hidden.add("a provider's secret", &json!("the-client-secret"));
    assert_eq!(service.get("/v1/sign-in/oidc/dead").await.status, 502);
    let back = "/v1/sign-in/oidc/back?code=code-of-a-provider&state=state-of-a-browser";
    service.get(back).await;
    hidden.add("a provider's code", &json!("code-of-a-provider"));
    hidden.add("a browser's state", &json!("state-of-a-browser"));
}

/// Statements that fail with a row in their hands, and requests about personal data.
async fn failures(service: &Service, database: &TestDatabase, hidden: &mut Hidden) {
    let db = database.connect().await;
    let owner = db.owner().await.unwrap();
    owner
        .batch_execute(
            "ALTER TABLE access.user ADD CONSTRAINT spoilt CHECK (name NOT LIKE 'Zapata%')",
        )
        .await
        .unwrap();
    let person = json!({"email": "zapata@example.org", "name": "Zapata Quetzalli", "password": PASSWORD, "roles": []});
    let failed = service.post("/v1/users", "", &person.to_string()).await;
    assert!(failed.status >= 400, "{}", failed.body);
    hidden.add(
        "an address in a row that failed",
        &json!("zapata@example.org"),
    );
    hidden.add("a hash in a row that failed", &json!("$argon2id$"));
    let taken = json!({"email": EMAIL, "name": NAME, "password": PASSWORD, "roles": []});
    assert_eq!(
        service
            .post("/v1/users", "", &taken.to_string())
            .await
            .status,
        409
    );
    let users = service.get("/v1/users").await.json();
    let user = users["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["email"] == EMAIL)
        .unwrap();
    let subject = format!("user:{}", user["id"]);
    let ask = async |body: Value| {
        service
            .post("/v1/privacy/requests", "", &body.to_string())
            .await
    };
    let corrected =
        ask(json!({"kind": "rectification", "subject": subject, "corrections": {"name": NAME}}))
            .await;
    assert_eq!(corrected.status, 201, "{}", corrected.body);
    ask(json!({"kind": "rectification", "subject": subject, "corrections": {"name": "Zapata Quetzalli"}})).await;
    let access = ask(json!({"kind": "access", "subject": subject}))
        .await
        .json();
    let path = format!("/v1/privacy/requests/{}/export", access["id"]);
    assert_eq!(service.post(&path, "", "").await.status, 200);
    hidden.add("a receipt", &access["receipt"]);
    // It fails first, and is tried again.
    owner
        .batch_execute("ALTER TABLE access.user ADD CONSTRAINT spoilt2 CHECK (name NOT LIKE '(%')")
        .await
        .unwrap();
    let erased = ask(json!({"kind": "erasure", "subject": subject, "also": [PHONE]}))
        .await
        .json();
    hidden.add("another receipt", &erased["receipt"]);
    until("the erasure was given up", 60, || async {
        let dead = service.get("/v1/jobs/dead").await.json();
        dead["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    })
    .await;
    owner
        .batch_execute("ALTER TABLE access.user DROP CONSTRAINT spoilt2")
        .await
        .unwrap();
    let dead = service.get("/v1/jobs/dead").await;
    for personal in [EMAIL, NAME, "argon2"] {
        assert!(!dead.body.contains(personal), "{}", dead.body);
    }
    let id = &dead.json()["items"][0]["id"];
    let again = service
        .post(&format!("/v1/jobs/dead/{id}/replay"), "", "")
        .await;
    assert!(again.status < 300, "{}", again.body);
    let path = format!("/v1/privacy/requests/{}", erased["id"]);
    until("it is erased", 60, || async {
        service.get(&path).await.json()["state"] == "done"
    })
    .await;
    owner
        .batch_execute("ALTER TABLE platform.gateway RENAME TO elsewhere")
        .await
        .unwrap();
    assert_eq!(service.get("/v1/gateways").await.status, 500);
    owner
        .batch_execute("ALTER TABLE platform.elsewhere RENAME TO gateway")
        .await
        .unwrap();
}

#[test]
fn the_log_has_no_secret_and_nobodys_data() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let text = std::fs::read_to_string(place.config()).unwrap();
        let often = "[http]\nstrangers_per_minute = 100000\n";
        let text = text
            .replace("level = \"debug\"", "level = \"trace\"")
            .replace("[http]\n", often);
        std::fs::write(place.config(), text).unwrap();
        let service = place.serve();
        let mut hidden = Hidden::default();
        for (what, text) in [
            ("an address", EMAIL),
            ("a name", "Quetzalli"),
            ("a phone number", PHONE),
            ("a password", PASSWORD),
            ("a wrong password", WRONG),
        ] {
            hidden.add(what, &json!(text));
        }
        let ring = std::fs::read_to_string(place.ring()).unwrap();
        let ring = ring.trim().rsplit([' ', ':']).next().unwrap();
        hidden.add("the key ring", &json!(ring));
        let (login, _) = database.url.split_once('@').unwrap();
        if let Some((_, password)) = login
            .rsplit_once("//")
            .and_then(|(_, login)| login.split_once(':'))
        {
            hidden.add("the database's password", &json!(password));
        }
        people(&place, &service, &mut hidden).await;
        things(&place, &service, &mut hidden).await;
        failures(&service, &database, &mut hidden).await;
        let log = service.stop();
        assert!(log.lines().count() > 100, "it says much: {log}");
        assert!(log.contains("/v1/privacy/requests"), "and of all of it");
        let found = hidden.found(&log);
        assert!(found.is_empty(), "in the log:\n{found}");
        eprintln!(
            "{} lines, {} things looked for",
            log.lines().count(),
            hidden.0.len()
        );
    });
}

#[test]
fn a_log_for_programs_is_an_object_a_line() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let text = std::fs::read_to_string(place.config()).unwrap();
        let text = text.replace("[log]\n", "[log]\nformat = \"json\"\n");
        std::fs::write(place.config(), text).unwrap();
        let service = place.serve();
        let mine = "x-request-id: of-the-log-1\r\n";
        assert_eq!(service.ask("GET /v1/me", mine, "").await.status, 200);
        let log = service.stop();
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}")))
            .collect();
        for line in &lines {
            for field in ["timestamp", "level", "target", "message"] {
                assert!(line[field].is_string(), "{field}: {line}");
            }
        }
        let answered = lines
            .iter()
            .find(|line| line["span"]["id"] == "of-the-log-1");
        let answered = answered.unwrap_or_else(|| panic!("the request is not in {log}"));
        assert_eq!(
            (
                &answered["message"],
                &answered["route"],
                &answered["status"]
            ),
            (&json!("answered"), &json!("/v1/me"), &json!(200))
        );
    });
}
