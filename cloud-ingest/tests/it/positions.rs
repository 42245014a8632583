//! Where somebody's own car is when their shift is over is nobody's business: not over the API, not in a dashboard.

use platform::{
    Db,
    testing::{TestDatabase, on_each_database},
};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::{
    machine::until,
    rooms::scope,
    service::{EMBEDDED, Place, Service},
};

/// In ten minutes of one day a sample each minute; at work from the third to the fifth.
const DAY: &str = "2026-03-02";
const AT_WORK: [i64; 3] = [3, 4, 5];
const LATITUDE: &str = "Vehicle.CurrentLocation.Latitude";
const CHARGE: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";
/// Outside the catalogue, and a position all the same.
const OWN: &str = "Vehicle.CurrentLocation.Dilution";

/// Two vehicles with the same samples: one that its driver buys by driving it, one of the organisation.
async fn two_vehicles(service: &Service, db: &Db) -> (i32, i32) {
    let mut ids = Vec::new();
    for name in ["Leased", "Own"] {
        let body = json!({"name": name, "kind": "vehicle"}).to_string();
        let made = service.post("/v1/assets", "", &body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        ids.push(i32::try_from(made.json()["id"].as_i64().unwrap()).unwrap());
    }
    let own = scope(db, "default").await.organization;
    let owner = db.owner().await.unwrap();
    for id in &ids {
        let sql = format!(
            "INSERT INTO telemetry.sample (time, asset_id, source, latitude, longitude, state_of_charge)
             SELECT '{DAY} 12:00Z'::timestamptz + make_interval(mins => n), {id}, 1, 194000000 + n, -991000000 - n, 500 + n
             FROM generate_series(0, 9) AS n;
             INSERT INTO telemetry.dirty (level, source, asset_id, bucket, due)
             SELECT 0, 1, {id}, '{DAY} 12:00Z'::timestamptz + make_interval(mins => n), now() FROM generate_series(0, 9) AS n;
             INSERT INTO telemetry.latest (asset_id, source, time, signals, times, steps)
             SELECT {id}, 1, '{DAY} 12:09Z', array_agg(id ORDER BY id), array_agg('{DAY} 12:09Z'::timestamptz), array_agg(1::bigint)
             FROM telemetry.signal WHERE name IN ('{LATITUDE}', '{CHARGE}');
             WITH made AS (
                 INSERT INTO telemetry.extra_signal (asset_id, source, name, unit, encoding, scale, shift)
                 VALUES ({id}, 1, '{OWN}', '', 0, 1, 0) RETURNING id
             ), rows AS (
                 INSERT INTO telemetry.extra (time, signal_id, raw)
                 SELECT '{DAY} 12:00Z'::timestamptz + make_interval(mins => n), made.id, n FROM made, generate_series(0, 9) AS n
             )
             INSERT INTO telemetry.extra_latest (asset_id, source, time, signals, times, raws, \"values\")
             SELECT {id}, 1, '{DAY} 12:09Z', ARRAY[made.id], ARRAY['{DAY} 12:09Z'::timestamptz], ARRAY[9], ARRAY[9] FROM made"
        );
        owner.batch_execute(&sql).await.unwrap();
    }
    let sql = format!(
        "INSERT INTO platform.position_rule (organization_id, asset_id, since, reason) VALUES ({own}, {0}, '2026-01-01', 'lease to own');
         INSERT INTO platform.position_interval (organization_id, asset_id, since, until) VALUES ({own}, {0}, '{DAY} 12:03Z', '{DAY} 12:06Z')",
        ids[0]
    );
    owner.batch_execute(&sql).await.unwrap();
    (ids[0], ids[1])
}

/// The minutes of which a series has values.
async fn minutes(service: &Service, asset: i32, signal: &str) -> Vec<i64> {
    let path = format!(
        "/v1/assets/{asset}/series?signal={signal}&from={DAY}T00:00:00Z&to={DAY}T23:00:00Z"
    );
    let page = service.get(&path).await.json();
    let list = |key: &str| page[key].as_array().cloned();
    let points = list("points")
        .or_else(|| list("values"))
        .or_else(|| list("items"));
    let points = points.unwrap_or_else(|| panic!("{page}"));
    points
        .iter()
        .map(|point| point["time"].as_str().unwrap()[14..16].parse().unwrap())
        .collect()
}

async fn numbers(client: &Client, sql: &str) -> Vec<i64> {
    let rows = client
        .query(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn positions_off_shift_are_shown_to_nobody() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let db = database.connect().await;
        let (leased, own) = two_vehicles(&service, &db).await;
        let all: Vec<i64> = (0..10).collect();

        for signal in [LATITUDE, OWN] {
            assert_eq!(minutes(&service, leased, signal).await, AT_WORK, "{signal}");
            assert_eq!(minutes(&service, own, signal).await, all, "{signal}");
        }
        assert_eq!(
            minutes(&service, leased, CHARGE).await,
            all,
            "what is no position"
        );
        let latest = async |asset: i32| {
            service
                .get(&format!("/v1/assets/{asset}/latest"))
                .await
                .body
        };
        assert!(!latest(leased).await.contains("CurrentLocation"));
        assert!(latest(leased).await.contains(CHARGE));
        for signal in [LATITUDE, OWN] {
            assert!(latest(own).await.contains(signal), "{signal}");
        }
        // Means tell of hidden times: none is shown, not even of the minutes at work.
        let buckets = async |asset: i32, signal: &str| -> usize {
            let path = format!(
                "/v1/assets/{asset}/rollups?signal={signal}&step=minute&from={DAY}T00:00:00Z&to={DAY}T23:00:00Z"
            );
            let page: Value = service.get(&path).await.json();
            page["buckets"]
                .as_array()
                .map_or_else(|| panic!("{page}"), Vec::len)
        };
        until("it is rolled up", 30, || async {
            buckets(own, LATITUDE).await == 10 && buckets(leased, CHARGE).await == 10
        })
        .await;
        assert_eq!(buckets(leased, LATITUDE).await, 0);

        // A dashboard, whatever its SQL is.
        let name = format!("map_{}", std::process::id());
        let password = place.run(&["reader", "add", &name]);
        let (_, rest) = database.url.split_once('@').unwrap();
        let url = format!("postgres://{name}:{}@{rest}", password.trim());
        let (reader, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let minute = "extract(minute FROM time)::bigint";
        let of = |asset: i32, view: &str, condition: &str| {
            format!(
                "SELECT {minute} FROM telemetry.{view} WHERE asset_id = {asset} AND {condition} ORDER BY 1"
            )
        };
        for (view, condition) in [
            ("own_reading", "latitude IS NOT NULL".to_owned()),
            ("own_reading", "longitude IS NOT NULL".to_owned()),
            ("own_extra_reading", format!("name = '{OWN}'")),
        ] {
            assert_eq!(
                numbers(&reader, &of(leased, view, &condition)).await,
                AT_WORK,
                "{view} {condition}"
            );
            assert_eq!(
                numbers(&reader, &of(own, view, &condition)).await,
                all,
                "{view} {condition}"
            );
        }
        assert_eq!(
            numbers(
                &reader,
                &of(leased, "own_reading", "state_of_charge IS NOT NULL")
            )
            .await,
            all
        );
        let position =
            format!("signal_id = (SELECT id FROM telemetry.signal WHERE name = '{LATITUDE}')");
        for view in ["own_latest_value", "own_rollup_minute"] {
            let count = |asset: i32| {
                format!(
                    "SELECT count(*) FROM telemetry.{view} WHERE asset_id = {asset} AND {position}"
                )
            };
            assert_eq!(numbers(&reader, &count(leased)).await, [0], "{view}");
            assert!(numbers(&reader, &count(own)).await[0] > 0, "{view}");
        }
        // A function that is handed the values before the rule is applied would tell them by its errors.
        let trick = format!(
            "SELECT count(*) FROM telemetry.own_reading WHERE asset_id = {leased} AND (1 / (latitude - 19.4))::text <> ''"
        );
        assert!(
            reader.query(&trick, &[]).await.is_ok(),
            "the sample at 19.4 is hidden"
        );
        for forbidden in [
            "SELECT latitude FROM telemetry.sample",
            "SELECT latitude FROM telemetry.reading",
            "SELECT steps FROM telemetry.latest",
            "SELECT * FROM telemetry.extra",
            "SELECT * FROM telemetry.extra_latest",
            "SELECT * FROM telemetry.sample_step",
            "DELETE FROM platform.position_rule",
            "INSERT INTO platform.position_interval SELECT organization_id, asset_id, '2026-01-01', NULL FROM platform.position_rule",
            "CREATE OR REPLACE FUNCTION platform.position_shown(asset int, at timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        ] {
            reader.batch_execute(forbidden).await.expect_err(forbidden);
        }
        drop(reader);
        place.run(&["reader", "revoke", &name]);
        service.stop();
    });
}
