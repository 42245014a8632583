//! Organisations do not see each other: over HTTP, in every table and view of the catalogue, and in dashboards.

use std::time::Duration;

use platform::{
    Db, OrganizationId, Register, Scope,
    testing::{TestDatabase, on_each_database},
};
use serde_json::json;
use shared_protocol::Stream;
use tokio_postgres::{Client, NoTls, Row};

use crate::{
    http,
    machine::until,
    rooms::{scope, tell},
    service::{EMBEDDED, Place, Service},
};

const WALL_US: i64 = 1_760_000_000_000_000;
const SIGNAL: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";

/// The organisation `default` with something in as many tables as the API can fill.
pub(crate) async fn furnish(place: &Place, service: &Service) {
    let mut gateway = place.gateway("depot-1");
    gateway.columns();
    let (patience, within) = (Duration::from_secs(2), Duration::from_secs(30));
    gateway.deliver(&service.broker, patience, within).await;
    gateway.samples(Stream::Live, 20, WALL_US);
    gateway.deliver(&service.broker, patience, within).await;
    let body = r#"{"name":"Van 12","kind":"vehicle"}"#;
    let made = service
        .post("/v1/assets", "idempotency-key: a\r\n", body)
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let body = r#"{"url":"https://receiver.invalid/","names":["vehicle.ready"]}"#;
    let made = service.post("/v1/webhooks", "", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let headers = "content-type: text/plain\r\ncontent-length: 7\r\n";
    let made = service
        .ask("POST /v1/files?name=a", headers, "content")
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let db = Db::connect(&place.database, 2).await.unwrap();
    let own = scope(&db, "default").await;
    let payload = json!({"asset": 1, "state_of_charge": 50.0});
    tell(&db, &own, "vehicle.ready", "1", payload).await;
    until("an event is delivered", 30, || async {
        let page = service.get("/v1/webhooks/1/deliveries").await.json();
        page["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    })
    .await;
    place.run(&[
        "user",
        "add",
        "--email",
        "ana@example.com",
        "--name",
        "Ana",
        "--role",
        "viewer",
    ]);
}

async fn relations(db: &Db) -> Vec<Row> {
    let owner = db.owner().await.unwrap();
    owner
        .query(include_str!("queries/relations.sql"), &[])
        .await
        .unwrap()
}

async fn count(client: &Client, sql: &str) -> Result<i64, tokio_postgres::Error> {
    client.query_one(sql, &[]).await.map(|row| row.get(0))
}

#[test]
fn an_organization_sees_its_own() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let service = place.serve();
        furnish(&place, &service).await;
        let own = service.get("/v1/assets").await.json();
        assert_eq!(own["items"].as_array().unwrap().len(), 2);
        let id = own["items"][0]["id"].as_i64().unwrap();
        let other = place.key("other", &["telemetry.read", "gateways.read", "keys.manage"]);
        let get = |path: String| {
            let (base, header) = (
                service.http.clone(),
                format!("authorization: Bearer {other}\r\n"),
            );
            async move { http::ask(&base, &format!("GET {path}"), &header, "").await }
        };
        for list in ["/v1/assets", "/v1/gateways"] {
            let page = get(list.to_owned()).await.json();
            assert_eq!(page["items"].as_array().unwrap().len(), 0, "{list}");
        }
        let keys = get("/v1/keys".to_owned()).await.json();
        assert_eq!(keys["items"].as_array().unwrap().len(), 1, "its own");
        for path in [
            format!("/v1/assets/{id}/latest"),
            format!("/v1/assets/{id}/series?signal={SIGNAL}"),
        ] {
            assert_eq!(service.get(&path).await.status, 200);
            let answer = get(path).await;
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (404, Some("asset_not_found"))
            );
        }
        service.stop();
    });
}

#[test]
fn no_table_or_view_shows_anothers_rows() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let service = place.serve();
        furnish(&place, &service).await;
        place.key("other", &["telemetry.read"]);
        let db = database.connect().await;
        let (own, other) = (scope(&db, "default").await, scope(&db, "other").await);
        let nobody = Scope::of_system(OrganizationId(999_999), "test");
        let (mut seen, mut readable, mut closed) = (Vec::new(), 0, 0);
        for row in relations(&db).await {
            let name: &str = row.get("name");
            let is = |what: &str| row.get::<_, bool>(what);
            let is_view = row.get::<_, &str>("kind") == "v";
            assert!(
                !row.get::<_, &str>("owner").starts_with("patio_"),
                "{name} belongs to a role of programs"
            );
            if is("of_organization") && !is_view {
                assert!(
                    is("forced"),
                    "{name} has organization_id and no forced row-level security: CALL platform.protect"
                );
            }
            assert!(!is("reader_writes"), "a dashboard may write to {name}");
            if !is("app_reads") && !is("app_writes") && !is("reader_reads") {
                closed += 1;
                continue;
            }
            readable += 1;
            if is_view {
                assert!(
                    is("barrier") && !is("app_writes"),
                    "{name} is a view without security_barrier: CALL platform.expose"
                );
            } else {
                assert!(
                    is("forced"),
                    "{name} is granted without forced row-level security: CALL platform.protect"
                );
                assert!(
                    is("policy_app") || is("shared"),
                    "{name} has no policy for organisations"
                );
                assert!(
                    !is("reader_reads") || is("policy_reader"),
                    "{name} has no policy for dashboards"
                );
            }
            if !is("app_reads") {
                continue;
            }
            let all = format!("SELECT count(*) FROM {name}");
            let rows = async |scope: &Scope, sql: &str| {
                let tenant = db.tenant(scope).await.unwrap();
                count(&tenant, sql).await.unwrap()
            };
            if is("shared") {
                assert!(rows(&nobody, &all).await > 0, "{name} is shared and empty");
                continue;
            }
            assert_eq!(
                rows(&nobody, &all).await,
                0,
                "{name}, as an organisation that is not there"
            );
            let foreign = match name {
                "platform.organization" => format!("{all} WHERE id = {}", own.organization),
                "audit.head" => format!("{all} WHERE tenant = {}", own.organization),
                _ if is("of_organization") => {
                    format!("{all} WHERE organization_id = {}", own.organization)
                }
                _ => all.clone(),
            };
            assert_eq!(
                rows(&other, &foreign).await,
                0,
                "{name}, as another organisation"
            );
            if rows(&own, &all).await > 0 {
                seen.push(name.to_owned());
            }
        }
        eprintln!(
            "{readable} tables and views can be read, {closed} cannot; with rows of another: {}",
            seen.join(" ")
        );
        for name in [
            "platform.asset",
            "access.api_key",
            "access.\"user\"",
            "web.answer",
            "vault.file",
            "events.endpoint",
            "events.log",
            "events.delivery",
            "audit.entry",
            "telemetry.latest",
            "telemetry.own_reading",
        ] {
            assert!(
                seen.iter().any(|one| one == name),
                "{name} had no rows to hide"
            );
        }
        service.stop();
    });
}

/// A panel's SQL may say what it wants: whose dashboard it is decides who is connected.
#[test]
fn a_dashboard_reads_its_own_organization_whatever_its_sql_says() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let service = place.serve();
        furnish(&place, &service).await;
        place.key("other", &["telemetry.read"]);
        let db = database.connect().await;
        let register = Register::new(db.clone(), platform::Clock::system());
        let own = register.organization("default").await.unwrap().unwrap();
        let (_, rest) = database.url.split_once('@').unwrap();
        let mut readers = Vec::new();
        for organization in ["default", "other"] {
            let name = format!("panel_{organization}_{}", std::process::id());
            let password = place.run(&["reader", "add", &name, "--organization", organization]);
            let url = format!("postgres://{name}:{}@{rest}", password.trim());
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(connection);
            readers.push((name, client));
        }
        let (of_default, of_other) = (&readers[0].1, &readers[1].1);
        let mut seen = 0;
        for row in relations(&db).await {
            let name: &str = row.get("name");
            let all = format!("SELECT count(*) FROM {name}");
            if !row.get::<_, bool>("reader_reads") {
                count(of_default, &all).await.expect_err(name);
                continue;
            }
            if row.get("shared") {
                continue;
            }
            let foreign = match name {
                "platform.organization" => format!("{all} WHERE id = {own}"),
                "platform.reader" => format!("{all} WHERE organization_id = {own}"),
                _ => all.clone(),
            };
            seen += count(of_default, &all).await.unwrap();
            for trick in [
                format!("SELECT set_config('patio.organization', '{own}', false)"),
                format!("SET patio.organization = '{own}'"),
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE".to_owned(),
                "SET row_security = off".to_owned(),
                "RESET row_security".to_owned(),
                "SET ROLE patio_reader".to_owned(),
            ] {
                // With row_security off a query that would be filtered is an error instead.
                of_other.batch_execute(&trick).await.unwrap();
                assert_eq!(
                    count(of_other, &foreign).await.unwrap_or(0),
                    0,
                    "{name} after {trick}"
                );
            }
            of_other.batch_execute("RESET ROLE").await.unwrap();
            assert_eq!(count(of_other, &foreign).await.unwrap(), 0, "{name}");
        }
        assert!(seen > 20, "the own dashboard shows something: {seen}");
        for forbidden in [
            "SET ROLE patio_app".to_owned(),
            "SET ROLE patio_system".to_owned(),
            format!("SET ROLE {}", readers[0].0),
            format!("SET SESSION AUTHORIZATION {}", readers[0].0),
            "UPDATE platform.asset SET name = 'mine'".to_owned(),
            format!("INSERT INTO platform.reader VALUES (current_user, {own})"),
            format!("UPDATE platform.reader SET organization_id = {own}"),
            "SELECT * FROM telemetry.sample".to_owned(),
            "SELECT * FROM access.user".to_owned(),
            "CREATE TABLE telemetry.mine ()".to_owned(),
            "CREATE FUNCTION platform.current_organization() RETURNS int LANGUAGE sql AS 'SELECT 1'".to_owned(),
        ] {
            of_other.batch_execute(&forbidden).await.expect_err(&forbidden);
        }
        // A function that looks at what it is given does not see through the barrier.
        let leak =
            "SELECT count(*) FROM telemetry.own_reading WHERE (asset_id::text || 'x')::text <> ''";
        assert_eq!(count(of_other, leak).await.unwrap(), 0);
        let names: Vec<String> = readers.iter().map(|(name, _)| name.clone()).collect();
        drop(readers);
        for name in names {
            place.run(&["reader", "revoke", &name]);
        }
        service.stop();
    });
}
