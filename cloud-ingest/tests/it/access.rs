//! Who may ask: signing in, keys, and asking twice.

use std::collections::HashSet;

use platform::testing::{TestDatabase, on_each_database};
use serde_json::{Value, json};

use crate::{
    http::{Answer, ask},
    service::{EMBEDDED, Place, Service},
};

pub(crate) const EMAIL: &str = "ana@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn code(answer: &Answer) -> String {
    assert_eq!(
        answer.headers["content-type"], "application/problem+json",
        "{}",
        answer.body
    );
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status);
    problem["code"].as_str().unwrap().to_owned()
}

/// Posts JSON without the key of the service.
pub(crate) async fn post(service: &Service, path: &str, headers: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let headers = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n{headers}",
        body.len()
    );
    ask(&service.http, &format!("POST {path}"), &headers, &body).await
}

pub(crate) async fn sign_in(service: &Service, password: &str, page: bool) -> Answer {
    let body = json!({"email": EMAIL, "password": password, "page": page});
    post(service, "/v1/sign-in", "", &body).await
}

pub(crate) async fn me(service: &Service, headers: &str) -> Answer {
    ask(&service.http, "GET /v1/me", headers, "").await
}

pub(crate) fn add_user(place: &Place, role: &str) {
    let said = place.run(&[
        "user", "add", "--email", EMAIL, "--name", "Ana", "--role", role,
    ]);
    let password = said.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(password.len() >= 20, "{said}");
    // The one that was told, then one of her own.
    let mut child = crate::machine::program()
        .args([
            "user",
            "password",
            EMAIL,
            "--password-stdin",
            "--database",
            &place.database,
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        format!("{PASSWORD}\n").as_bytes(),
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn people_sign_in_with_programs_and_pages() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        add_user(&place, "operator");
        let bearer =
            |token: &Value| format!("authorization: Bearer {}\r\n", token.as_str().unwrap());

        let signed = sign_in(&service, PASSWORD, false).await;
        assert_eq!(
            (signed.status, signed.headers["cache-control"].as_str()),
            (200, "no-store")
        );
        let tokens = signed.json();
        let known = me(&service, &bearer(&tokens["access_token"])).await.json();
        assert_eq!(
            known["actor"].as_str().unwrap().split(':').next(),
            Some("user")
        );
        assert_eq!(
            known["permissions"],
            json!([
                "assets.write",
                "commands.send",
                "depots.read",
                "depots.write",
                "devices.read",
                "files.read",
                "files.write",
                "gateways.read",
                "jobs.read",
                "telemetry.read",
                "transactions.assign"
            ])
        );
        let next = post(
            &service,
            "/v1/refresh",
            "",
            &json!({"refresh_token": tokens["refresh_token"]}),
        )
        .await;
        assert_eq!(next.status, 200, "{}", next.body);
        let out = ask(
            &service.http,
            "POST /v1/sign-out",
            &bearer(&next.json()["access_token"]),
            "",
        )
        .await;
        assert_eq!(out.status, 204);
        assert_eq!(
            code(&me(&service, &bearer(&next.json()["access_token"])).await),
            "unauthenticated"
        );

        // Pages: a cookie that scripts cannot read, and a value that other sites cannot know.
        let page = sign_in(&service, PASSWORD, true).await;
        let cookie = &page.headers["set-cookie"];
        for part in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!page.body.contains("patio_page_"), "{}", page.body);
        let csrf = page.json()["csrf_token"].as_str().unwrap().to_owned();
        let cookie = format!("cookie: {}\r\n", cookie.split(';').next().unwrap());
        assert_eq!(
            me(&service, &cookie).await.json()["csrf_token"],
            csrf.as_str()
        );
        let asset = json!({"name": "Van 1"});
        let without = post(&service, "/v1/assets", &cookie, &asset).await;
        assert_eq!(
            (without.status, code(&without).as_str()),
            (403, "csrf_token_missing")
        );
        let wrong = post(
            &service,
            "/v1/assets",
            &format!("{cookie}x-csrf-token: {}\r\n", "0".repeat(64)),
            &asset,
        )
        .await;
        assert_eq!(code(&wrong), "csrf_token_missing");
        let with = post(
            &service,
            "/v1/assets",
            &format!("{cookie}x-csrf-token: {csrf}\r\n"),
            &asset,
        )
        .await;
        assert_eq!(with.status, 201, "{}", with.body);
        let out = ask(
            &service.http,
            "POST /v1/sign-out",
            &format!("{cookie}x-csrf-token: {csrf}\r\n"),
            "",
        )
        .await;
        assert!(
            out.status == 204 && out.headers["set-cookie"].contains("Max-Age=0"),
            "{out:?}"
        );
        assert_eq!(code(&me(&service, &cookie).await), "unauthenticated");

        // Nothing that was shown is in the log.
        let log = service.stop();
        for secret in [
            PASSWORD,
            tokens["access_token"].as_str().unwrap(),
            tokens["refresh_token"].as_str().unwrap(),
            &csrf,
        ] {
            assert!(!log.contains(secret), "the log has a secret");
        }
    });
}

/// Unknown, wrong, locked and disabled: the answers are the same to the letter.
#[test]
fn whoever_guesses_gets_one_answer() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        add_user(&place, "viewer");
        let mut answers = HashSet::new();
        for (email, password) in [
            (EMAIL, "wrong password"),
            ("nobody@example.com", PASSWORD),
            ("", ""),
            ("x", PASSWORD),
        ] {
            let body = json!({"email": email, "password": password});
            let answer = post(&service, "/v1/sign-in", "", &body).await;
            let mut headers: Vec<_> = answer
                .headers
                .into_iter()
                .filter(|(name, _)| name != "x-request-id" && name != "date")
                .collect();
            headers.sort();
            answers.insert((answer.status, answer.body, headers));
        }
        for _ in 0..6 {
            sign_in(&service, "wrong password", false).await;
        }
        let locked = sign_in(&service, PASSWORD, false).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        let (status, body, _) = answers.into_iter().next().unwrap();
        assert_eq!((locked.status, locked.body), (status, body));
        service.stop();
    });
}

#[test]
fn keys_are_made_and_given_no_more_than_their_maker_has() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let made = service
            .post(
                "/v1/keys",
                "",
                r#"{"name":"planner","scopes":["telemetry.read"]}"#,
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let (id, key) = (
            made.json()["id"].as_i64().unwrap(),
            made.json()["key"].as_str().unwrap().to_owned(),
        );
        let with = |key: &str| format!("authorization: Bearer {key}\r\n");
        assert_eq!(
            ask(&service.http, "GET /v1/assets", &with(&key), "")
                .await
                .status,
            200
        );
        assert_eq!(
            code(&ask(&service.http, "GET /v1/gateways", &with(&key), "").await),
            "permission_missing"
        );
        // One that may make keys makes none that may more.
        let maker = place.key("default", &["keys.manage"]);
        let more = post(
            &service,
            "/v1/keys",
            &with(&maker),
            &json!({"name": "x", "scopes": ["telemetry.read"]}),
        )
        .await;
        assert_eq!(code(&more), "permission_missing");
        for (body, field) in [
            (json!({"name": "x", "scopes": ["telemetry.reed"]}), "scopes"),
            (json!({"name": "x", "scopes": []}), "scopes"),
            (json!({"name": "", "scopes": ["telemetry.read"]}), "name"),
            (json!({"name": "x", "scopes": "telemetry.read"}), "scopes"),
            (
                json!({"name": "x", "scopes": ["telemetry.read"], "expires_at": "soon"}),
                "expires_at",
            ),
        ] {
            let answer = service.post("/v1/keys", "", &body.to_string()).await;
            assert_eq!(code(&answer), "bad_body", "{body}");
            assert_eq!(answer.json()["field"], field, "{body}: {}", answer.body);
        }
        let rotated = service
            .post(
                &format!("/v1/keys/{id}/rotate"),
                "",
                r#"{"overlap_hours":0}"#,
            )
            .await;
        assert_eq!(rotated.status, 201, "{}", rotated.body);
        assert_eq!(
            code(&ask(&service.http, "GET /v1/assets", &with(&key), "").await),
            "unauthenticated"
        );
        let next = rotated.json();
        let new = next["key"].as_str().unwrap();
        assert_eq!(
            ask(&service.http, "GET /v1/assets", &with(new), "")
                .await
                .status,
            200
        );
        let gone = service
            .ask(&format!("DELETE /v1/keys/{}", next["id"]), "", "")
            .await;
        assert_eq!(gone.status, 204);
        assert_eq!(
            code(&ask(&service.http, "GET /v1/assets", &with(new), "").await),
            "unauthenticated"
        );
        let listed = service.get("/v1/keys").await.json();
        let states: Vec<_> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| (key["rotated_to"].is_null(), key["revoked_at"].is_null()))
            .collect();
        assert_eq!(
            states,
            [(true, true), (false, true), (true, true), (true, false)]
        );
        service.stop();
    });
}

#[test]
fn people_change_their_own_password_and_see_their_organization() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        add_user(&place, "viewer");
        let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
        let change = async |token: &str, old: &str, new: &str| {
            let body = json!({"old_password": old, "new_password": new}).to_string();
            let headers = format!(
                "{}content-type: application/json\r\ncontent-length: {}\r\n",
                bearer(token),
                body.len()
            );
            ask(&service.http, "PUT /v1/me/password", &headers, &body).await
        };
        let tokens = sign_in(&service, PASSWORD, false).await.json();
        let token = tokens["access_token"].as_str().unwrap();
        let own = ask(&service.http, "GET /v1/me/organization", &bearer(token), "").await;
        assert_eq!((own.status, &own.json()["name"]), (200, &json!("default")));
        let other = place.key("other", &["telemetry.read"]);
        let theirs = ask(
            &service.http,
            "GET /v1/me/organization",
            &bearer(&other),
            "",
        )
        .await;
        assert_eq!(theirs.json()["name"], "other");

        let next = "another good password";
        assert_eq!(
            code(&change(token, "not the password", next).await),
            "sign_in_failed"
        );
        let short = change(token, PASSWORD, "short").await;
        assert_eq!((short.status, code(&short).as_str()), (400, "bad_body"));
        assert_eq!(
            code(&change(&other, PASSWORD, next).await),
            "permission_missing"
        );
        assert_eq!(
            sign_in(&service, PASSWORD, false).await.status,
            200,
            "nothing changed"
        );
        assert_eq!(change(token, PASSWORD, next).await.status, 204);
        assert_eq!(code(&me(&service, &bearer(token)).await), "unauthenticated");
        assert_eq!(sign_in(&service, PASSWORD, false).await.status, 401);
        let tokens = sign_in(&service, next, false).await.json();
        // Whoever has a token and guesses is locked out as whoever signs in.
        let token = tokens["access_token"].as_str().unwrap();
        for _ in 0..6 {
            assert_eq!(
                change(token, "a wrong password", PASSWORD).await.status,
                401
            );
        }
        assert_eq!(change(token, next, PASSWORD).await.status, 401, "locked");
        service.stop();
    });
}

/// 50 at once with one Idempotency-Key: one effect, one answer.
#[test]
fn what_is_asked_twice_is_done_once() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let body = json!({"name": "Van 12", "kind": "vehicle"});
        let headers = format!(
            "authorization: Bearer {}\r\nidempotency-key: order-1\r\n",
            service.key
        );
        let all = (0..50).map(|_| post(&service, "/v1/assets", &headers, &body));
        let answers = futures::future::join_all(all).await;
        let different: HashSet<_> = answers
            .iter()
            .map(|answer| (answer.status, answer.body.clone()))
            .collect();
        assert_eq!(different.len(), 1, "{different:?}");
        assert_eq!(answers[0].status, 201);
        let replayed = answers
            .iter()
            .filter(|answer| answer.headers.contains_key("idempotency-replayed"));
        assert_eq!(replayed.count(), 49);
        let assets = service.get("/v1/assets").await.json();
        assert_eq!(assets["items"].as_array().unwrap().len(), 1);
        // The key is bound to the body; another caller's is another key; what failed may be tried again.
        let other = post(&service, "/v1/assets", &headers, &json!({"name": "Van 13"})).await;
        assert_eq!(
            (other.status, code(&other).as_str()),
            (422, "idempotency_key_reused")
        );
        let else_ = place.key("default", &["assets.write"]);
        let theirs = format!("authorization: Bearer {else_}\r\nidempotency-key: order-1\r\n");
        assert_eq!(
            post(&service, "/v1/assets", &theirs, &body).await.status,
            201
        );
        let again = format!(
            "authorization: Bearer {}\r\nidempotency-key: order-2\r\n",
            service.key
        );
        assert_eq!(
            code(&post(&service, "/v1/assets", &again, &json!({"name": ""})).await),
            "bad_body"
        );
        assert_eq!(
            post(&service, "/v1/assets", &again, &json!({"name": "Van 14"}))
                .await
                .status,
            201
        );
        let assets = service.get("/v1/assets").await.json();
        assert_eq!(assets["items"].as_array().unwrap().len(), 3);
        service.stop();
    });
}

#[test]
fn pages_have_each_item_once_however_many_come_in_between() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let add = async |n: usize| {
            let body = json!({"name": format!("Van {n}")}).to_string();
            assert_eq!(service.post("/v1/assets", "", &body).await.status, 201);
        };
        for n in 0..10 {
            add(n).await;
        }
        let (mut names, mut path, mut n) = (Vec::new(), "/v1/assets?limit=3".to_owned(), 10);
        loop {
            let page = service.get(&path).await.json();
            names.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|asset| asset["name"].as_str().unwrap().to_owned()),
            );
            if n < 16 {
                add(n).await;
                n += 1;
            }
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = format!("/v1/assets?limit=3&cursor={next}");
        }
        let expected: Vec<_> = (0..n).map(|n| format!("Van {n}")).collect();
        assert_eq!(
            names[..10],
            expected[..10],
            "those that were there, in their order"
        );
        let once: HashSet<_> = names.iter().collect();
        assert_eq!(once.len(), names.len());
        service.stop();
    });
}
