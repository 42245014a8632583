//! What is read back: series in pages, values in units, sums.

use jiff::{Timestamp, ToSpan as _};
use platform::testing::on_each_database;
use shared_protocol::{Encoding, Stream};
use telemetry::read::{self, SeriesQuery};

use crate::world::{FLOAT_COLUMN, World, columns, is_stored, now};

#[test]
fn series_come_in_pages_and_in_units() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let mut samples = Vec::new();
        for n in 0..100i64 {
            // Three values share each instant: two sources, and one of them twice.
            let time = n / 3 * 1_000_000;
            samples.push((if n % 3 == 0 { 2 } else { 0 }, time, n));
            samples.push((4, time, n));
        }
        let sent = gateway.samples(Stream::Live, &samples);
        assert!(is_stored(&world.one(&sent).await));
        let client = world.client().await;
        let assets = read::assets(&client, None, 10).await.unwrap();
        let car = assets
            .iter()
            .find(|asset| asset.name.ends_with("car-a"))
            .unwrap();
        assert_eq!(car.known_as[0].local_key, "car-a");
        let query = |signal: &str, limit, source| SeriesQuery {
            asset: car.id,
            signal: signal.into(),
            source,
            from: Timestamp::UNIX_EPOCH,
            to: now() + 24.hours(),
            limit,
            cursor: None,
        };
        for signal in ["Vehicle.Speed", "M.Temp"] {
            let whole = read::series(&client, &query(signal, 1000, None))
                .await
                .unwrap();
            assert_eq!((whole.points.len(), whole.next.as_deref()), (100, None));
            assert!(
                whole
                    .points
                    .windows(2)
                    .all(|pair| pair[0].time <= pair[1].time)
            );
            for limit in [1, 2, 7, 99, 100] {
                let mut paged = Vec::new();
                let mut query = query(signal, limit, None);
                loop {
                    let page = read::series(&client, &query).await.unwrap();
                    assert!(page.points.len() <= limit as usize);
                    paged.extend(page.points);
                    match page.next {
                        Some(next) => query.cursor = Some(next.parse().unwrap()),
                        None => break,
                    }
                }
                assert_eq!(paged, whole.points, "{signal} by {limit}");
            }
        }
        let obd = read::series(&client, &query("Vehicle.Speed", 1000, Some(2)))
            .await
            .unwrap();
        assert_eq!(obd.points.len(), 34);
        assert!(
            obd.points
                .iter()
                .all(|point| point.source == "obd" && point.unit == "km/h")
        );
        assert_eq!(obd.points[1].value, 3.0);
        let mut short = query("Vehicle.Speed", 1000, None);
        short.from = Timestamp::from_microsecond(gateway.offset.unwrap() + 1_000_000).unwrap();
        short.to = Timestamp::from_microsecond(gateway.offset.unwrap() + 3_000_000).unwrap();
        assert_eq!(read::series(&client, &short).await.unwrap().points.len(), 6);
        let nothing = read::series(&client, &query("No.Such", 10, None))
            .await
            .unwrap();
        assert!(nothing.points.is_empty() && nothing.next.is_none());
        assert!("x".parse::<read::Cursor>().is_err());

        let counts = read::counts(&client, Some(car.id)).await.unwrap();
        let of = |signal: &str, source: &str| {
            let one = counts
                .iter()
                .find(|count| count.signal == signal && count.source == source);
            one.map_or(0, |count| count.samples)
        };
        assert_eq!(of("Vehicle.Speed", "can"), 66);
        assert_eq!(of("Vehicle.Speed", "obd"), 34);
        assert_eq!(of("M.Temp", "can"), 100);
        let all: i64 = read::counts(&client, None)
            .await
            .unwrap()
            .iter()
            .map(|count| count.samples)
            .sum();
        assert_eq!(all, 200);
    });
}

#[test]
fn views_compute_as_the_gateway_does() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let all = columns();
        world.one(&gateway.define(&all)).await;
        let raws = [
            i64::MIN,
            i64::MIN + 1,
            -1,
            0,
            1,
            3,
            1 << 53,
            (1 << 53) + 1,
            i64::MAX - 1,
            i64::MAX,
        ];
        let mut samples = Vec::new();
        for (n, raw) in (0i64..).zip(raws) {
            samples.extend([(4, n, raw), (5, n, raw)]);
            samples.push((FLOAT_COLUMN, n, (raw as f64 / 3.0).to_bits().cast_signed()));
        }
        samples.extend((0..200).map(|n| (0, n, n * 7 - 300)));
        assert!(is_stored(
            &world.one(&gateway.samples(Stream::Bulk, &samples)).await
        ));
        let client = world.client().await;
        let sql = "SELECT name, (extract(epoch FROM time) * 1000000)::bigint, value FROM telemetry.extra_reading";
        let rows = client.query(sql, &[]).await.unwrap();
        assert_eq!(rows.len(), 3 * raws.len());
        let offset = gateway.offset.unwrap();
        for row in rows {
            let raw = raws[(row.get::<_, i64>(1) - offset) as usize];
            let (column, raw) = match row.get::<_, &str>(0) {
                "M.Temp" => (4, raw),
                "M.Count" => (5, raw),
                _ => (6, (raw as f64 / 3.0).to_bits().cast_signed()),
            };
            let encoding: Encoding = all[column].def.encoding;
            let found: f64 = row.get(2);
            assert_eq!(
                found.to_bits(),
                encoding.value(raw).to_bits(),
                "{encoding:?} {raw}"
            );
        }
        let sql = "SELECT s.speed, r.speed FROM telemetry.sample AS s JOIN telemetry.reading AS r USING (asset_id, source, time) WHERE s.speed IS NOT NULL";
        let rows = client.query(sql, &[]).await.unwrap();
        assert_eq!(rows.len(), 200);
        for row in rows {
            let nearest: f64 = format!("{}e-2", row.get::<_, i32>(0)).parse().unwrap();
            assert_eq!(row.get::<_, f64>(1), nearest);
        }
    });
}
