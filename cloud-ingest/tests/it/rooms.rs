//! The routes of the platform's rooms: people, jobs that were given up, the audit trail; and what tests of rooms share.

use crate::{
    http::{Answer, ask},
    service::{EMBEDDED, Place, Service},
};
use events::{Event, publish};
use jiff::Timestamp;
use platform::{
    Db, Register, Scope,
    testing::{TestDatabase, on_each_database},
};
use serde_json::{Value, json};

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
