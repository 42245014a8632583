//! Where a car is when its driver's shift is over is shown to nobody: not by the API, not in dashboards.

use platform::testing::{TestDatabase, on_each_database};
use serde_json::Value;
use tokio_postgres::NoTls;

use crate::service::{EMBEDDED, Place, Service};

const LATITUDE: &str = "Vehicle.CurrentLocation.Latitude";
const CHARGE: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";

/// The times of the values that the API gives.
async fn times(service: &Service, asset: i32, signal: &str) -> Vec<String> {
    let path = format!(
        "/v1/assets/{asset}/series?signal={signal}&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"
    );
    let page = service.get(&path).await.json();
    let points = page["points"].as_array().unwrap().iter();
    points
        .map(|point| point["time"].as_str().unwrap().to_owned())
        .collect()
}

async fn latest(service: &Service, asset: i32) -> Vec<String> {
    let answer = service
        .get(&format!("/v1/assets/{asset}/latest"))
        .await
        .json();
    let values = answer["values"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter();
    values
        .map(|value: &Value| value["signal"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn positions_are_shown_in_shifts_only() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let made = service
            .post("/v1/assets", "", r#"{"name":"Van 12","kind":"vehicle"}"#)
            .await;
        let asset = made.json()["id"].as_i64().unwrap() as i32;
        let db = database.connect().await;
        let owner = db.owner().await.unwrap();
        let column = async |name: &str| {
            let row = owner
                .query_one(
                    "SELECT id, column_name FROM telemetry.signal WHERE name = $1",
                    &[&name],
                )
                .await
                .unwrap();
            (row.get::<_, i32>(0), row.get::<_, String>(1))
        };
        let ((latitude, latitude_column), (charge, charge_column)) =
            (column(LATITUDE).await, column(CHARGE).await);
        let fill = format!(
            "INSERT INTO telemetry.sample (time, asset_id, source, \"{latitude_column}\", \"{charge_column}\")
             SELECT '2026-03-01 00:00Z'::timestamptz + n * interval '1 hour', $1, 1, 1940 + n, 50 FROM generate_series(0, 23) AS n"
        );
        owner.execute(&fill, &[&asset]).await.unwrap();
        owner
            .execute(
                "INSERT INTO telemetry.latest (asset_id, source, signals, times, steps)
                 VALUES ($1, 1, ARRAY[$2::int, $3], ARRAY['2026-03-01 23:00Z'::timestamptz, '2026-03-01 23:00Z'], ARRAY[1963::bigint, 50])",
                &[&asset, &latitude, &charge],
            )
            .await
            .unwrap();
        let name = format!("panel_positions_{}", std::process::id());
        let password = place.run(&["reader", "add", &name]);
        let (_, rest) = database.url.split_once('@').unwrap();
        let url = format!("postgres://{name}:{}@{rest}", password.trim());
        let (panel, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let panel_sees = async || {
            let rows = format!(
                "SELECT count(\"{latitude_column}\"), count(\"{charge_column}\") FROM telemetry.own_reading"
            );
            let row = panel.query_one(&rows, &[]).await.unwrap();
            let latest = "SELECT count(*) FROM telemetry.own_latest_value WHERE signal_id = $1";
            let one = panel.query_one(latest, &[&latitude]).await.unwrap();
            (
                row.get::<_, i64>(0),
                row.get::<_, i64>(1),
                one.get::<_, i64>(0),
            )
        };
        // Without a rule everything is shown.
        assert_eq!(times(&service, asset, LATITUDE).await.len(), 24);
        assert_eq!(panel_sees().await, (24, 24, 1));
        assert_eq!(latest(&service, asset).await.len(), 2);

        // Under the rule from six o'clock on, shifts from eight to twelve and from sixteen on, until eighteen.
        let scoped = "INSERT INTO platform.position_rule (organization_id, asset_id, since, reason)
             SELECT organization_id, id, '2026-03-01 06:00Z', 'lease-to-own' FROM platform.asset WHERE id = $1";
        owner.execute(scoped, &[&asset]).await.unwrap();
        let shifts = "INSERT INTO platform.position_interval (organization_id, asset_id, since, until)
             SELECT organization_id, id, since, until FROM platform.asset,
                 (VALUES ('2026-03-01 08:00Z'::timestamptz, '2026-03-01 12:00Z'::timestamptz),
                         ('2026-03-01 16:00Z', '2026-03-01 18:00Z')) AS v (since, until) WHERE id = $1";
        owner.execute(shifts, &[&asset]).await.unwrap();
        let shown = times(&service, asset, LATITUDE).await;
        let hours: Vec<&str> = shown.iter().map(|time| &time[11..13]).collect();
        assert_eq!(
            hours,
            [
                "00", "01", "02", "03", "04", "05", "08", "09", "10", "11", "16", "17"
            ]
        );
        assert_eq!(
            times(&service, asset, CHARGE).await.len(),
            24,
            "the rest is shown"
        );
        assert_eq!(latest(&service, asset).await, [CHARGE]);
        assert_eq!(panel_sees().await, (12, 24, 0));
        // No other way round it is open to a dashboard.
        for sql in [
            "SELECT * FROM telemetry.latest",
            "SELECT * FROM telemetry.sample",
            "SELECT * FROM telemetry.reading",
            "SELECT * FROM telemetry.latest_value",
            "DELETE FROM platform.position_rule",
            "INSERT INTO platform.position_interval SELECT organization_id, id, '2000-01-01Z', NULL FROM platform.asset",
        ] {
            panel.batch_execute(sql).await.expect_err(sql);
        }
        // A shift that goes on shows it again.
        owner
            .batch_execute("UPDATE platform.position_interval SET until = NULL WHERE since = '2026-03-01 16:00Z'")
            .await
            .unwrap();
        assert_eq!(panel_sees().await, (18, 24, 1));
        assert_eq!(latest(&service, asset).await.len(), 2);
        drop(panel);
        place.run(&["reader", "revoke", &name]);
        service.stop();
    });
}
