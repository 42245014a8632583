//! Readings of devices that seal no blocks.

use jiff::{Timestamp, ToSpan as _};
use platform::{Failure, testing::on_each_database};
use shared_protocol::{Digest, Encoding, SignalDef, SignalRef, Source, catalogue};
use telemetry::{
    readings::{Reading, prepare, take},
    roll_up,
};

use crate::world::{World, known, named, now, scaled};

async fn asset(world: &World) -> i32 {
    let mut gateway = world.gateway("gate").await;
    let definition = gateway.define(&[known("car-a", Source::Can, "Vehicle.Speed", "0.01")]);
    world.one(&definition).await;
    world
        .count("SELECT asset_id::bigint FROM platform.gateway_asset")
        .await as i32
}

fn speed() -> SignalDef {
    SignalDef {
        signal: SignalRef::Catalogue(catalogue().by_name("Vehicle.Speed").unwrap().id),
        encoding: scaled("1", "0"),
    }
}

#[test]
fn readings_become_the_same_rows() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let asset = asset(&world).await;
        let (speed, odd) = (speed(), named("x", "AVL.9", Encoding::PLAIN).def);
        let plug = SignalDef {
            signal: SignalRef::Catalogue(
                catalogue()
                    .by_name("Vehicle.Powertrain.TractionBattery.Charging.IsCharging")
                    .unwrap()
                    .id,
            ),
            encoding: Encoding::PLAIN,
        };
        let at = |seconds: i64| now() - 1.hour() + seconds.seconds();
        let reading = |time: Timestamp, signal, raw| Reading {
            asset,
            time,
            signal,
            raw,
        };
        let readings = [
            reading(at(0), &speed, 50),
            reading(at(0), &odd, -7),
            reading(at(1), &speed, 51),
            reading(at(1), &speed, 100_000),
            reading(now() + 48.hours(), &speed, 1),
            reading(at(2), &plug, 1),
        ];
        let mut client = world.client().await;
        let (ready, unfit) = prepare(&client, Source::Teltonika, &readings, now())
            .await
            .unwrap();
        assert_eq!(ready.len(), 4);
        assert_eq!(
            unfit.iter().map(|unfit| unfit.at).collect::<Vec<_>>(),
            [3, 4]
        );
        assert!(
            unfit[0]
                .why
                .contains("Vehicle.Speed: 100000 km/h cannot be true"),
            "{unfit:?}"
        );
        // Two records; the first was taken before.
        let keys = [Digest::of(b"one"), Digest::of(b"two")];
        for (round, stored) in [(0, 4), (1, 0)] {
            let tx = client.transaction().await.unwrap();
            let new = take(&tx, Source::Teltonika, "imei-1", &keys, now())
                .await
                .unwrap();
            assert_eq!(new.len(), if round == 0 { 2 } else { 0 });
            let key = |at: usize| keys[usize::from(at > 1)];
            let written = ready
                .store(&tx, |at| new.contains(&key(at)), now())
                .await
                .unwrap();
            assert_eq!(written, stored);
            tx.commit().await.unwrap();
        }
        assert_eq!(
            world
                .count("SELECT count(speed) FROM telemetry.sample WHERE source = 6")
                .await,
            2
        );
        assert_eq!(world.count("SELECT raw FROM telemetry.extra").await, -7);
        let latest = "SELECT steps FROM telemetry.latest_value WHERE source = 6 AND preferred ORDER BY signal_id LIMIT 1";
        let resolution = catalogue().by_name("Vehicle.Speed").unwrap().resolution;
        assert_eq!(
            world.count(latest).await,
            speed.encoding.in_steps_of(51, resolution).unwrap()
        );
        assert_eq!(
            world
                .count("SELECT count(*) FROM telemetry.event WHERE event = 'charging' AND active")
                .await,
            1
        );
        roll_up(&world.db, now() + 24.hours()).await.unwrap();
        assert_eq!(
            world
                .count("SELECT sum(count)::bigint FROM telemetry.rollup_day WHERE source = 6")
                .await,
            3
        );
    });
}

#[test]
fn what_is_rolled_back_was_not_taken() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let asset = asset(&world).await;
        let def = speed();
        let readings = [Reading {
            asset,
            time: now(),
            signal: &def,
            raw: 1,
        }];
        let mut client = world.client().await;
        let (ready, _) = prepare(&client, Source::Json, &readings, now())
            .await
            .unwrap();
        let key = [Digest::of(b"x")];
        for commits in [false, true] {
            let tx = client.transaction().await.unwrap();
            let new = take(&tx, Source::Json, "feed", &key, now()).await.unwrap();
            assert_eq!(new.len(), 1);
            assert_eq!(ready.store(&tx, |_| true, now()).await.unwrap(), 1);
            if commits {
                tx.commit().await.unwrap();
            }
        }
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.sample").await,
            1
        );
        let unknown = [Reading {
            asset: asset + 1000,
            ..readings[0].clone()
        }];
        let error = prepare(&client, Source::Json, &unknown, now())
            .await
            .unwrap_err();
        assert_eq!(error.failure(), Failure::Data, "{error}");
    });
}
