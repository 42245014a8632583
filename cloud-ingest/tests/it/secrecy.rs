//! What the program logs, whatever happens and however much it is told to log: no secret, nobody's address or name, no
//! position.

use platform::testing::{TestDatabase, on_each_database};
use serde_json::{Value, json};

use crate::{
    http::{Answer, ask},
    oidc::{EMAIL, back, depart, provider},
    service::{EMBEDDED, Place, Service},
};

const PASSWORD: &str = "a password that nobody else has";
const WRONG: &str = "a wrong password of somebody";

async fn post(service: &Service, path: &str, headers: &str, body: &str) -> Answer {
    let headers = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n{headers}",
        body.len()
    );
    ask(&service.http, &format!("POST {path}"), &headers, body).await
}

#[test]
fn the_log_keeps_no_secret_and_names_nobody() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let text = std::fs::read_to_string(place.config()).unwrap();
        let text = text.replace("level = \"debug\"", "level = \"trace\"");
        assert!(text.contains("\"trace\""));
        std::fs::write(place.config(), text).unwrap();
        let service = place.serve();
        let provider = provider(&place).await;
        place.run_with(&["user", "password", EMAIL, "--password-stdin"], PASSWORD);
        let mut secrets: Vec<String> = [
            EMAIL,
            PASSWORD,
            WRONG,
            "Ana Unmistakable",
            "unmistakable",
            "sub-of-ana",
        ]
        .map(str::to_owned)
        .into();
        secrets.push(access::oidc::standin::SECRET.to_owned());
        secrets.push(service.key.clone());
        secrets.push(
            std::fs::read_to_string(place.ring())
                .unwrap()
                .trim()
                .split(' ')
                .nth(1)
                .unwrap()
                .to_owned(),
        );
        let login = database
            .url
            .split_once("://")
            .unwrap()
            .1
            .split_once('@')
            .unwrap()
            .0;
        secrets.extend(
            login
                .split_once(':')
                .map(|(_, password)| password.to_owned()),
        );

        // Passwords and tokens: right, wrong, locked, reused, malformed.
        let sign_in = |password: &str, page: bool| {
            json!({"email": EMAIL, "password": password, "page": page}).to_string()
        };
        let keep = |secrets: &mut Vec<String>, value: &Value| {
            secrets.extend(value.as_str().map(str::to_owned))
        };
        let tokens = post(&service, "/v1/sign-in", "", &sign_in(PASSWORD, false))
            .await
            .json();
        for name in ["access_token", "refresh_token"] {
            keep(&mut secrets, &tokens[name]);
        }
        let refresh = json!({"refresh_token": tokens["refresh_token"]}).to_string();
        let next = post(&service, "/v1/refresh", "", &refresh).await.json();
        keep(&mut secrets, &next["refresh_token"]);
        assert_eq!(
            post(&service, "/v1/refresh", "", &refresh).await.status,
            401
        );
        let page = post(&service, "/v1/sign-in", "", &sign_in(PASSWORD, true)).await;
        keep(&mut secrets, &page.json()["csrf_token"]);
        let cookie = page.headers["set-cookie"]
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        secrets.push(cookie.split_once('=').unwrap().1.to_owned());
        ask(
            &service.http,
            "GET /v1/me",
            &format!("cookie: {cookie}\r\n"),
            "",
        )
        .await;
        for _ in 0..6 {
            assert_eq!(
                post(&service, "/v1/sign-in", "", &sign_in(WRONG, false))
                    .await
                    .status,
                401
            );
        }
        let torn = format!("{{\"email\":\"{EMAIL}\",\"password\":[\"{PASSWORD}\"]}}");
        assert_eq!(post(&service, "/v1/sign-in", "", &torn).await.status, 400);
        let asked = format!("GET /v1/assets?email={EMAIL}&token={}", secrets[7]);
        assert_eq!(service.ask(&asked, "", "").await.status, 400);
        let guess = format!("authorization: Bearer {}x\r\n", service.key);
        assert_eq!(
            ask(&service.http, "GET /v1/assets", &guess, "")
                .await
                .status,
            401
        );

        // One-time codes; keys.
        let ring = place.ring();
        let url = place.run(&["user", "codes", EMAIL, "--ring", ring.to_str().unwrap()]);
        let secret = url
            .split("secret=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        secrets.push(secret.to_owned());
        let coded = json!({"email": EMAIL, "password": PASSWORD, "code": "918273"}).to_string();
        assert_eq!(post(&service, "/v1/sign-in", "", &coded).await.status, 401);
        secrets.push("918273".to_owned());
        let made = service
            .post(
                "/v1/keys",
                "idempotency-key: a\r\n",
                r#"{"name":"app","scopes":["telemetry.read"]}"#,
            )
            .await;
        keep(&mut secrets, &made.json()["key"]);

        // A provider: signed in, replayed, refused.
        let (url, browser) = depart(&service, "").await;
        let answer = provider.visit(&url, "sub-of-ana", EMAIL).unwrap();
        secrets.extend([answer["code"].clone(), answer["state"].clone()]);
        secrets.push(browser.split_once('=').unwrap().1.to_owned());
        secrets.extend(
            url.query_pairs()
                .filter(|(name, _)| name == "nonce" || name == "code_challenge")
                .map(|(_, value)| value.into_owned()),
        );
        let home = back(&service, &browser, &answer).await;
        assert_eq!(home.status, 200, "{}", home.body);
        secrets.push(
            home.headers["set-cookie"]
                .split(';')
                .next()
                .unwrap()
                .split_once('=')
                .unwrap()
                .1
                .to_owned(),
        );
        assert_eq!(back(&service, &browser, &answer).await.status, 401);

        // A position, and a database that fails in the midst of it.
        let made = service
            .post(
                "/v1/assets",
                "",
                r#"{"name":"Van of Ana Unmistakable","kind":"vehicle"}"#,
            )
            .await;
        let id = made.json()["id"].as_i64().unwrap();
        let db = database.connect().await;
        let owner = db.owner().await.unwrap();
        let fill = "DO $$ DECLARE col text := (SELECT column_name FROM telemetry.signal WHERE name = 'Vehicle.CurrentLocation.Latitude');
            BEGIN EXECUTE format('INSERT INTO telemetry.sample (time, asset_id, source, %I) SELECT now(), id, 1, 19432653 FROM platform.asset', col); END $$";
        owner.batch_execute(fill).await.unwrap();
        let path = format!("/v1/assets/{id}/series?signal=Vehicle.CurrentLocation.Latitude");
        let shown = service.get(&path).await.json();
        let value = shown["points"][0]["value"].to_string();
        assert!(value.len() > 3, "{shown}");
        secrets.extend([value, "19432653".to_owned()]);
        owner
            .batch_execute("ALTER TABLE access.user RENAME TO elsewhere")
            .await
            .unwrap();
        assert_eq!(
            post(&service, "/v1/sign-in", "", &sign_in(PASSWORD, false))
                .await
                .status,
            500
        );
        owner
            .batch_execute("ALTER TABLE access.elsewhere RENAME TO \"user\"")
            .await
            .unwrap();

        let log = service.stop();
        assert!(
            log.contains("a request failed in the database"),
            "it was listened: {log}"
        );
        secrets.retain(|secret| !secret.is_empty());
        assert!(secrets.len() > 20, "{}", secrets.len());
        for secret in &secrets {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{secret} is in the log");
        }
    });
}
