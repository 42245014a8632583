//! The ordinary course: columns, samples, answers, hellos.

use platform::testing::on_each_database;
use shared_protocol::{
    Body, Column, Encoding, Hello, SignalDef, SignalId, SignalRef, Source, Stream, StreamState,
    Verdict,
};
use telemetry::{HelloError, OutcomeKind, Reason, acks, read};

use crate::world::{
    Gateway, World, columns, is_stored, latest_of, now, stored, stored_latest, truth,
};

const NEW: OutcomeKind = OutcomeKind::Stored {
    new: true,
    samples: 1,
};

#[test]
fn samples_wait_for_their_columns() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let all = columns();
        let first = gateway.define(&all[..2]);
        let second = gateway.define(&all[2..]);
        let early = gateway.samples(Stream::Live, &[(5, 0, 1)]);
        let other = gateway.samples(Stream::Live, &[(1, 0, 4)]);

        assert_eq!(world.one(&early).await, OutcomeKind::ColumnsNeeded(0));
        assert!(is_stored(&world.one(&second).await), "in any order");
        assert_eq!(world.one(&early).await, NEW, "its own column is known");
        let outcome = world.ingest(&[&other]).await.remove(0);
        assert_eq!(outcome.result, OutcomeKind::ColumnsNeeded(0));
        let ack = acks(&[outcome], now()).remove(0);
        let verdict = ack.answers[0].verdict(&other.number(), &other.digest);
        assert_eq!(verdict, Some(&Verdict::ColumnsNeeded(0)));
        // An ingestor that has never seen the epoch; columns and samples in one batch, the samples first.
        let outcomes = world
            .another()
            .ingest(vec![other.delivery(), first.delivery()])
            .await;
        assert_eq!(outcomes[0].result, NEW);
        assert_eq!(
            outcomes[1].result,
            OutcomeKind::Stored {
                new: true,
                samples: 2
            }
        );
        // The same definitions again, under another number, are fine.
        let again = Body::Columns {
            first: 0,
            columns: all.clone(),
        };
        let again = gateway.seal(Stream::Columns, again);
        assert_eq!(
            world.one(&again).await,
            OutcomeKind::Stored {
                new: true,
                samples: 8
            }
        );

        let client = world.client().await;
        let mut expected = [truth(&gateway, &early), truth(&gateway, &other)].concat();
        expected.sort();
        assert_eq!(stored(&client, &gateway).await, expected);
        let assets = read::assets(&client, None, 100).await.unwrap();
        let names: Vec<_> = assets.iter().map(|asset| asset.name.as_str()).collect();
        assert_eq!(names.len(), 3);
        assert!(names.contains(&"depot-1/car-a"));
        assert!(assets.iter().all(|asset| asset.kind.is_none()));
    });
}

#[test]
fn a_signal_of_a_newer_catalogue_is_kept_by_the_gateway() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let newer = Column {
            asset: "car-a".parse().unwrap(),
            source: Source::Can,
            def: SignalDef {
                signal: SignalRef::Catalogue(SignalId(65_000)),
                encoding: Encoding::PLAIN,
            },
        };
        let mut all = columns();
        all.push(newer);
        let new = all.len() as u32 - 1;
        assert!(is_stored(&world.one(&gateway.define(&all)).await));
        let unknown = gateway.samples(Stream::Live, &[(new, 0, 1)]);
        let fine = gateway.samples(Stream::Live, &[(0, 0, 1)]);
        let outcomes = world.ingest(&[&unknown, &fine]).await;
        assert!(
            matches!(&outcomes[0].result, OutcomeKind::NotStored { detail } if detail.contains("update the cloud"))
        );
        assert_eq!(outcomes[1].result, NEW);
    });
}

#[test]
fn a_gateway_may_be_registered_late() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = Gateway::new("depot-1");
        let block = gateway.define(&columns());
        let unknown = world.one(&block).await;
        assert!(matches!(
            unknown,
            OutcomeKind::Rejected {
                reason: Reason::UnknownGateway,
                ..
            }
        ));
        world.gateway("depot-1").await;
        world.hand.advance(std::time::Duration::from_secs(1));
        assert!(is_stored(&world.one(&block).await), "seen a second later");
    });
}

#[test]
fn a_hello_is_answered_with_what_is_closed() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let definitions = gateway.define(&columns());
        let blocks: Vec<_> = (0..6)
            .map(|n| gateway.samples(Stream::Live, &[(0, n, n)]))
            .collect();
        let sent = [&definitions, &blocks[0], &blocks[1], &blocks[4]];
        world.ingest(&sent).await;
        let state = |stream| StreamState {
            epoch: gateway.epoch,
            stream,
            first: 0,
            next: 6,
        };
        let mut hello = Hello {
            gateway: gateway.id.clone(),
            version: "1".into(),
            streams: vec![
                state(Stream::Live),
                state(Stream::Columns),
                state(Stream::Bulk),
            ],
        };
        let bytes = hello.seal(&gateway.key).unwrap();
        let ack = world.ingestor.hello(&bytes).await.unwrap();
        assert_eq!(ack.gateway, gateway.id);
        let done = |stream| {
            &ack.answers
                .iter()
                .find(|answer| answer.stream == stream)
                .unwrap()
                .done
        };
        assert_eq!(*done(Stream::Live), [(0, 1), (4, 4)]);
        assert_eq!(*done(Stream::Columns), [(0, 0)]);
        assert!(
            done(Stream::Bulk).is_empty(),
            "a stream that nothing came of has nothing closed"
        );

        hello.streams = (0..500).map(|_| state(Stream::Live)).collect();
        let long = hello.seal(&gateway.key).unwrap();
        assert_eq!(world.ingestor.hello(&long).await.unwrap().answers.len(), 1);
        let other = shared_protocol::SigningKey::from_seed([3; 32]);
        let forged = world.ingestor.hello(&hello.seal(&other).unwrap()).await;
        assert!(matches!(forged, Err(HelloError::Unbelieved(_))));
        assert!(matches!(
            world.ingestor.hello(b"hi").await,
            Err(HelloError::Unbelieved(_))
        ));
        hello.gateway = "nobody".parse().unwrap();
        let nobody = world
            .ingestor
            .hello(&hello.seal(&gateway.key).unwrap())
            .await;
        assert!(matches!(nobody, Err(HelloError::UnknownGateway(_))));
        world.register.revoke_gateway(&gateway.id).await.unwrap();
        world.hand.advance(platform::register::FRESH);
        assert!(matches!(
            world.ingestor.hello(&bytes).await,
            Err(HelloError::Revoked(_))
        ));
    });
}

#[test]
fn the_latest_value_is_the_latest_in_time() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let second = 1_000_000;
        // Each signal has its own time; what comes late does not turn it back; one instant has one latest value.
        let blocks = [
            gateway.samples(
                Stream::Live,
                &[
                    (0, 5 * second, 50),
                    (1, 3 * second, 30),
                    (4, 9 * second, 90),
                ],
            ),
            gateway.samples(
                Stream::Bulk,
                &[(0, 2 * second, 20), (1, 4 * second, 40), (4, second, 10)],
            ),
            gateway.samples(
                Stream::Live,
                &[(0, 5 * second, 49), (2, second, 7), (3, second, 8)],
            ),
            gateway.samples(
                Stream::Critical,
                &[
                    (0, 5 * second, 51),
                    (6, second, 2.5f64.to_bits().cast_signed()),
                ],
            ),
        ];
        let mut all = Vec::new();
        for block in &blocks {
            assert!(is_stored(&world.one(block).await));
            all.extend(truth(&gateway, block));
        }
        let client = world.client().await;
        let expected: Vec<_> = latest_of(&all)
            .into_iter()
            .filter(|value| value.2 != "M.Float")
            .collect();
        assert_eq!(stored_latest(&client, &gateway).await, expected);
        let speed = expected
            .iter()
            .find(|value| value.2 == "speed" && value.1 == 1 && value.0 == "car-a");
        assert_eq!(speed.unwrap().4, 51);
        let assets = read::assets(&client, None, 10).await.unwrap();
        let car = assets
            .iter()
            .find(|asset| asset.name.ends_with("car-a"))
            .unwrap();
        let latest = read::latest(&client, car.id).await.unwrap();
        let found = |signal: &str, source: &str| {
            let one = latest
                .iter()
                .find(|one| one.signal == signal && one.source == source);
            one.map(|one| (one.value, one.unit.as_str()))
        };
        assert_eq!(found("Vehicle.Speed", "can"), Some((0.51, "km/h")));
        assert_eq!(found("Vehicle.Speed", "obd"), Some((7.0, "km/h")));
        assert_eq!(
            found("M.Temp", "can"),
            Some((90.0 * 0.390_625 - 40.0, "degC"))
        );
        assert_eq!(
            car.last_seen.unwrap().as_microsecond(),
            gateway.offset.unwrap() + 9 * second
        );
        let car_b = assets
            .iter()
            .find(|asset| asset.name.ends_with("car-b"))
            .unwrap();
        let latest = read::latest(&client, car_b.id).await.unwrap();
        assert!(
            latest
                .iter()
                .any(|one| one.signal == "M.Float" && one.value == 2.5)
        );
    });
}

#[test]
fn two_streams_of_an_asset_do_not_overwrite_each_others_latest_values() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        world.one(&gateway.define(&columns())).await;
        let first = gateway.samples(Stream::Live, &[(0, 0, 1), (4, 0, 1)]);
        assert!(is_stored(&world.one(&first).await));
        // Somebody else is about to write a later speed, while a block brings the distance.
        let mut client = world.client().await;
        let tx = client.transaction().await.unwrap();
        tx.batch_execute(
            "UPDATE telemetry.latest SET steps = ARRAY[99];
             UPDATE telemetry.extra_latest SET raws = ARRAY[99]",
        )
        .await
        .unwrap();
        let second = gateway.samples(Stream::Bulk, &[(1, 0, 7), (5, 0, 7)]);
        // It knows that the rows are there: nothing but the transaction itself looks at them.
        let ingestor = world.ingestor.clone();
        let delivery = second.delivery();
        let mut waiting = tokio::spawn(async move { ingestor.ingest(vec![delivery]).await });
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut waiting).await;
        assert!(early.is_err(), "the row is waited for");
        tx.commit().await.unwrap();
        assert!(is_stored(&waiting.await.unwrap()[0].result));
        let latest = stored_latest(&client, &gateway).await;
        let numbers: Vec<_> = latest
            .iter()
            .map(|value| (value.2.as_str(), value.4))
            .collect();
        assert_eq!(
            numbers,
            [
                ("M.Count", 7),
                ("M.Temp", 99),
                ("speed", 99),
                ("traveled_distance", 4)
            ]
        );
    });
}
