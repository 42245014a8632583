//! What cannot be used is kept with its reason, and its neighbours are stored.

use bytes::Bytes;
use platform::testing::on_each_database;
use shared_protocol::{
    Ack, Body, Record, SampleBody, SigningKey, Stream, Verdict,
    envelope::{Kind, MAX_ENVELOPE, seal},
};
use telemetry::{Delivery, OutcomeKind, Reason, acks, read};

use crate::world::{
    Gateway, Sent, World, columns, is_stored, known, named, now, raw, scaled, stored, truth,
};

/// Delivers something between two good blocks, which have to be stored, and returns what became of it.
async fn between(world: &World, gateway: &mut Gateway, bad: Delivery) -> telemetry::Outcome {
    let before = gateway.samples(Stream::Live, &[(0, 0, 1)]);
    let after = gateway.samples(Stream::Live, &[(1, 0, 2)]);
    let batch = vec![before.delivery(), bad, after.delivery()];
    let mut outcomes = world.ingestor.ingest(batch).await;
    assert!(is_stored(&outcomes[0].result), "{:?}", outcomes[0]);
    assert!(is_stored(&outcomes[2].result), "{:?}", outcomes[2]);
    outcomes.remove(1)
}

/// The quarantine's newest row.
async fn newest(world: &World) -> read::Quarantined {
    let client = world.client().await;
    let rows = read::quarantine(&client, None, 1000).await.unwrap();
    rows.into_iter().next_back().unwrap()
}

fn rejected(result: &OutcomeKind) -> Reason {
    match result {
        OutcomeKind::Rejected { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

fn quarantined(result: &OutcomeKind) -> Reason {
    match result {
        OutcomeKind::Quarantined { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_vouches_for_moves_no_ledger_and_gets_no_verdict() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let mut stranger = Gateway::new("stranger");
        stranger.columns.clone_from(&gateway.columns);
        assert!(is_stored(&world.one(&gateway.define(&columns())).await));
        let good = gateway.samples(Stream::Bulk, &[(0, 0, 1)]);
        let forged = {
            let mut forger = Gateway::new("depot-1");
            forger.key = SigningKey::from_seed([99; 32]);
            forger.samples(Stream::Bulk, &[(0, 0, 1)])
        };
        let mut flipped = good.bytes.to_vec();
        // In the body: what is wrong with the signature has another name.
        flipped[10] ^= 4;
        let mut newer = good.bytes.to_vec();
        newer[2] = 9;
        let hello = seal(Kind::Hello, b"x", &gateway.key).unwrap();
        let headless = seal(Kind::Block, &[0xff; 40], &gateway.key).unwrap();
        let cases = [
            (b"{\"json\": true}".to_vec(), Reason::Foreign),
            (Vec::new(), Reason::Foreign),
            (newer, Reason::Foreign),
            (hello, Reason::Foreign),
            (good.bytes[..good.bytes.len() - 1].to_vec(), Reason::Damaged),
            (good.bytes[..80].to_vec(), Reason::Damaged),
            (flipped, Reason::Damaged),
            (headless, Reason::Damaged),
            (forged.bytes.to_vec(), Reason::WrongSignature),
            (
                stranger.samples(Stream::Live, &[]).bytes.to_vec(),
                Reason::UnknownGateway,
            ),
        ];
        for (bytes, reason) in cases {
            let outcome = between(
                &world,
                &mut gateway,
                raw(&Gateway::new("depot-1"), bytes.clone()),
            )
            .await;
            assert_eq!(rejected(&outcome.result), reason);
            assert!(outcome.settled(), "the broker may forget it");
            assert!(acks(&[outcome], now()).is_empty());
            let row = newest(&world).await;
            assert_eq!((row.reason.as_str(), row.closed), (reason.name(), false));
            assert_eq!(row.size as usize, bytes.len());
        }
        assert_eq!(
            world
                .count("SELECT count(*) FROM telemetry.ledger WHERE stream = 3")
                .await,
            0
        );
        // The number that was forged is still free for its owner.
        assert_eq!(
            world.one(&good).await,
            OutcomeKind::Stored {
                new: true,
                samples: 1
            }
        );
    });
}

#[test]
fn what_the_gateway_signed_but_cannot_be_used_is_closed() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        assert!(is_stored(&world.one(&gateway.define(&columns())).await));
        let live = Stream::Live;
        let records = |kind: &str, payload: &str| {
            let record = Record {
                time_us: 0,
                asset: None,
                kind: kind.into(),
                payload: payload.into(),
            };
            Body::Records(vec![record])
        };
        let nan = f64::NAN.to_bits().cast_signed();
        let mut cases: Vec<(Sent, Reason, &str)> = vec![
            (
                gateway.samples(live, &[(0, 0, 1), (3, 5, 99_999_999)]),
                Reason::Impossible,
                "car-b Vehicle.Speed: 999999.99 km/h cannot be true",
            ),
            (
                gateway.samples(live, &[(6, 0, nan)]),
                Reason::Impossible,
                "car-b M.Float: NaN",
            ),
            (
                gateway.samples(live, &[(0, 200_000_000_000, 1)]),
                Reason::Impossible,
                "cannot be its time",
            ),
            (
                gateway.samples(live, &[(0, i64::MIN / 2000 * 1000, 1)]),
                Reason::Impossible,
                "cannot be its time",
            ),
            (
                gateway.samples(Stream::Columns, &[(0, 0, 1)]),
                Reason::Impossible,
                "samples do not belong into stream columns",
            ),
            (
                gateway.seal(
                    live,
                    Body::Columns {
                        first: 0,
                        columns: columns(),
                    },
                ),
                Reason::Impossible,
                "do not belong into stream live",
            ),
            (
                gateway.seal(live, records("a", "{")),
                Reason::Impossible,
                "is not JSON",
            ),
            (
                gateway.seal(live, records("", "{}")),
                Reason::Impossible,
                "kind has 1 to",
            ),
            (
                gateway.seal(live, records("a", "{\"a\": \"\\ud800\"}")),
                Reason::DatabaseRefused,
                "22P02",
            ),
            (
                gateway.seal(live, records("a", "1e999999")),
                Reason::DatabaseRefused,
                "22003",
            ),
            (
                gateway.define(&[named("car-a", "bad\0name", scaled("1", "0"))]),
                Reason::Impossible,
                "a name has 1 to",
            ),
            (
                gateway.define(&[named("car-a", &"n".repeat(300), scaled("1", "0"))]),
                Reason::Impossible,
                "a name has 1 to",
            ),
        ];
        let far = Body::Columns {
            first: u32::MAX,
            columns: columns(),
        };
        cases.push((
            gateway.seal(Stream::Columns, far),
            Reason::Impossible,
            "an epoch has at most",
        ));
        let changed = Body::Columns {
            first: 0,
            columns: vec![known(
                "car-a",
                shared_protocol::Source::Can,
                "Vehicle.Speed",
                "0.02",
            )],
        };
        cases.push((
            gateway.seal(Stream::Columns, changed),
            Reason::ColumnChanged,
            "column 0 is Vehicle.Speed of car-a by can",
        ));
        let lie = gateway.number(live);
        let body = Body::Samples(SampleBody::from_samples([(0, 0, 1)]));
        cases.push((
            gateway.seal_as(lie, body, 7, 0),
            Reason::Unreadable,
            "7 samples were announced, 1 are there",
        ));

        for (sent, reason, says) in &cases {
            let outcome = between(&world, &mut gateway, sent.delivery()).await;
            assert_eq!(quarantined(&outcome.result), *reason, "{outcome:?}");
            let OutcomeKind::Quarantined { detail, .. } = &outcome.result else {
                panic!()
            };
            assert!(detail.contains(says), "{detail}");
            let row = newest(&world).await;
            assert_eq!((row.reason.as_str(), row.closed), (reason.name(), true));
            assert_eq!(row.gateway.as_deref(), Some("depot-1"));
            assert_eq!(row.number, Some(sent.number().to_string()));
            assert_eq!(row.samples, i64::from(sent.block.header.samples));
            // The verdict frees it, and stays what it is.
            let ack = acks(std::slice::from_ref(&outcome), now()).remove(0);
            let answer = &ack.answers[0];
            let verdict = answer.verdict(&sent.number(), &sent.digest);
            assert!(
                matches!(verdict, Some(Verdict::Quarantined(text)) if text.starts_with(reason.name()))
            );
            assert!(
                answer
                    .done
                    .iter()
                    .any(|(a, b)| (*a..=*b).contains(&sent.number().seq))
            );
            assert_eq!(world.one(sent).await, outcome.result, "the second time");
        }
        let client = world.client().await;
        let kept = read::quarantine(&client, None, 1000).await.unwrap();
        assert_eq!(kept.len(), cases.len(), "each is kept once");
        let columns = world
            .count("SELECT count(*) FROM telemetry.column_def")
            .await;
        assert_eq!(columns, 8, "no definition was changed or half taken");
    });
}

#[test]
fn a_bomb_is_quarantined() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        assert!(is_stored(&world.one(&gateway.define(&columns())).await));
        // A megabyte of samples that compresses to nothing: sound, and at the limit of what a block may carry.
        let samples: Vec<_> = (0..1 << 20).map(|n| (0, n * 1000, 0)).collect();
        let big = gateway.samples(Stream::Bulk, &samples);
        assert!(big.bytes.len() < 100_000, "{}", big.bytes.len());
        let mut bomb = big.bytes.to_vec();
        // What follows the header announces more than may be announced: signed again, it is still refused.
        let body_len = bomb.len() - 8 - 68;
        let header_len = usize::from(bomb[8]);
        let at = 8 + 1 + header_len;
        bomb[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
        let bomb = seal(Kind::Block, &bomb[8..8 + body_len], &gateway.key).unwrap();
        let outcome = between(&world, &mut gateway, raw(&Gateway::new("depot-1"), bomb)).await;
        assert_eq!(rejected(&outcome.result), Reason::Damaged);
        // And one that announces a little more than comes out.
        let mut liar = big.bytes.to_vec();
        liar[at] ^= 1;
        let liar = seal(Kind::Block, &liar[8..8 + body_len], &gateway.key).unwrap();
        let outcome = between(&world, &mut gateway, raw(&Gateway::new("depot-1"), liar)).await;
        assert_eq!(quarantined(&outcome.result), Reason::Unreadable);
        assert_eq!(
            world.one(&big).await,
            match outcome.result {
                OutcomeKind::Quarantined { .. } => OutcomeKind::Quarantined {
                    reason: Reason::NumberReused,
                    detail: format!(
                        "number {} stands for the content {:?}",
                        big.number(),
                        outcome.digest
                    ),
                },
                other => other,
            }
        );
    });
}

#[test]
fn a_number_stands_for_one_content() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let columns = gateway.define(&columns());
        let first = gateway.samples(Stream::Live, &[(0, 0, 1)]);
        let body = Body::Samples(SampleBody::from_samples([(0, 0, 2), (1, 0, 2)]));
        let second = gateway.seal_as(first.number(), body.clone(), 2, 0);
        let third = gateway.seal_as(first.number(), body, 2, 5);
        // In one batch, and afterwards.
        let outcomes = world.ingest(&[&columns, &first, &second, &first]).await;
        assert_eq!(
            outcomes[1].result,
            OutcomeKind::Stored {
                new: true,
                samples: 1
            }
        );
        assert_eq!(quarantined(&outcomes[2].result), Reason::NumberReused);
        assert_eq!(
            outcomes[3].result,
            OutcomeKind::Stored {
                new: false,
                samples: 1
            }
        );
        for sent in [&third, &second, &third] {
            assert_eq!(quarantined(&world.one(sent).await), Reason::NumberReused);
        }
        assert_eq!(
            world.one(&first).await,
            OutcomeKind::Stored {
                new: false,
                samples: 1
            }
        );
        let client = world.client().await;
        assert_eq!(stored(&client, &gateway).await, truth(&gateway, &first));
        let rows = read::quarantine(&client, None, 10).await.unwrap();
        let deliveries: Vec<_> = rows.iter().map(|row| row.deliveries).collect();
        assert_eq!(deliveries, [2, 2]);
        let ledger = read::ledger(&client, Some(&[gateway.id.as_str()]))
            .await
            .unwrap();
        let live = ledger.iter().find(|row| row.stream == "live").unwrap();
        assert_eq!((live.blocks, live.samples, live.quarantined), (1, 1, 0));
    });
}

#[test]
fn what_is_revoked_is_refused_and_kept() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        assert!(is_stored(&world.one(&gateway.define(&columns())).await));
        let successor = SigningKey::from_seed([55; 32]);
        world
            .register
            .add_key(&gateway.id, &successor.verifying_key(), 2)
            .await
            .unwrap();
        world.hand.advance(platform::register::FRESH);

        // One key per epoch, and not before its time.
        let old = std::mem::replace(&mut gateway.key, successor.clone());
        let early = gateway.samples(Stream::Live, &[(0, 0, 1)]);
        assert_eq!(rejected(&world.one(&early).await), Reason::WrongSignature);
        gateway.new_epoch();
        assert!(is_stored(&world.one(&gateway.define(&columns())).await));
        gateway.key = old.clone();
        let mixed = gateway.samples(Stream::Live, &[(0, 0, 1)]);
        assert_eq!(rejected(&world.one(&mixed).await), Reason::WrongKey);

        world
            .register
            .revoke_key(&gateway.id, &old.verifying_key())
            .await
            .unwrap();
        world.hand.advance(platform::register::FRESH);
        gateway.epoch.counter = 1;
        let late = gateway.samples(Stream::Bulk, &[(0, 0, 1)]);
        let outcome = world.ingest(&[&late]).await.remove(0);
        assert!(
            matches!(&outcome.result, OutcomeKind::Refused { detail } if detail.contains("was revoked"))
        );
        let ack: Ack = acks(&[outcome], now()).remove(0);
        let verdict = ack.answers[0].verdict(&late.number(), &late.digest);
        assert!(matches!(verdict, Some(Verdict::Refused(_))), "{ack:?}");
        assert!(ack.answers[0].done.is_empty());
        let row = newest(&world).await;
        assert_eq!((row.reason.as_str(), row.closed), ("revoked", false));
        assert_eq!(
            world
                .count("SELECT count(*) FROM telemetry.ledger WHERE stream = 3")
                .await,
            0
        );

        // A forged block of the revoked key's gateway is not refused: nobody can say that it is the gateway's.
        gateway.key = SigningKey::from_seed([98; 32]);
        let forged = gateway.samples(Stream::Bulk, &[(0, 0, 1)]);
        assert_eq!(rejected(&world.one(&forged).await), Reason::WrongSignature);

        gateway.key = successor;
        gateway.epoch.counter = 2;
        world.register.revoke_gateway(&gateway.id).await.unwrap();
        world.hand.advance(platform::register::FRESH);
        let last = gateway.samples(Stream::Live, &[(0, 0, 1)]);
        assert!(matches!(
            world.one(&last).await,
            OutcomeKind::Refused { .. }
        ));
    });
}

#[test]
fn garbage_is_kept_within_a_rate_and_a_size() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let gateway = world.gateway("depot-1").await;
        let garbage = (0..1000u32)
            .map(|n| raw(&gateway, n.to_le_bytes()))
            .collect();
        let outcomes = world.ingestor.ingest(garbage).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| rejected(&outcome.result) == Reason::Foreign)
        );
        let kept = world
            .count("SELECT count(*) FROM telemetry.quarantine")
            .await;
        assert!((100..400).contains(&kept), "{kept}");
        // The same again is counted, not kept again; and others still have room.
        let huge = Delivery {
            topic: "patio/1/depot-2/up/live\u{0}".into(),
            payload: Bytes::from(vec![0u8; 3 * MAX_ENVELOPE]),
        };
        world.ingestor.ingest(vec![huge.clone(), huge]).await;
        let row = newest(&world).await;
        assert_eq!((row.deliveries, row.size as usize), (1, 3 * MAX_ENVELOPE));
        assert_eq!(row.gateway.as_deref(), Some("depot-2"));
        let length = "SELECT max(length(payload))::bigint FROM telemetry.quarantine";
        assert_eq!(world.count(length).await, MAX_ENVELOPE as i64);
    });
}

#[test]
fn a_gateway_names_no_more_assets_than_a_depot_has() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let many: Vec<_> = (0..=platform::register::MOST_ASSETS)
            .map(|n| {
                known(
                    &format!("car-{n}"),
                    shared_protocol::Source::Can,
                    "Vehicle.Speed",
                    "1",
                )
            })
            .collect();
        let all = gateway.define(&many);
        assert_eq!(quarantined(&world.one(&all).await), Reason::TooManyAssets);
        assert_eq!(world.count("SELECT count(*) FROM platform.asset").await, 0);
        gateway.columns.clear();
        assert!(is_stored(&world.one(&gateway.define(&many[..50])).await));
    });
}
