//! Incoming webhooks: believed when they are signed, dealt with once.

use events::{
    incoming::{Refused, Verifier},
    webhooks::sign,
};
use hyper::{HeaderMap, header::HeaderValue};
use platform::testing::on_each_database;
use vault::Secret;

use crate::world::World;

const BODY: &[u8] = br#"{"amount": 245000,  "currency": "MXN"}"#;

fn signed(secret: &Secret, id: &str, at: i64) -> HeaderMap {
    let signature = sign::signature(std::slice::from_ref(secret), id, at, BODY);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("webhook-id", id),
        ("webhook-timestamp", &at.to_string()),
        ("webhook-signature", &signature),
    ] {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn a_message_is_believed_when_its_raw_bytes_are_signed_and_it_is_of_now() {
    let (secret, new) = (sign::new_secret().unwrap(), sign::new_secret().unwrap());
    let now = jiff::Timestamp::from_second(1_790_000_000).unwrap();
    let verifier = Verifier::new("payments", vec![new, secret.clone()]);
    let good = signed(&secret, "msg_1", now.as_second());
    let verified = verifier.verify(&good, BODY, now).unwrap();
    assert_eq!((verified.id(), verified.at()), ("msg_1", now));
    assert_eq!(
        verified.json::<serde_json::Value>().unwrap()["amount"],
        245_000
    );
    // The same JSON in other bytes is not what was signed.
    let respaced = br#"{"amount": 245000, "currency": "MXN"}"#;
    assert_eq!(
        verifier.verify(&good, respaced, now),
        Err(Refused::Signature)
    );
    for seconds in [-301, 301] {
        let off = signed(&secret, "msg_1", now.as_second() + seconds);
        assert!(matches!(
            verifier.verify(&off, BODY, now),
            Err(Refused::Time(_))
        ));
    }
    let mut moved = good.clone();
    moved.insert("webhook-timestamp", HeaderValue::from(now.as_second() + 1));
    assert_eq!(verifier.verify(&moved, BODY, now), Err(Refused::Signature));
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut without = good.clone();
        without.remove(header);
        assert_eq!(
            verifier.verify(&without, BODY, now),
            Err(Refused::Header(header))
        );
        let mut odd = good.clone();
        odd.insert(header, HeaderValue::from_static(""));
        assert!(verifier.verify(&odd, BODY, now).is_err());
    }
    let stranger = Verifier::new("payments", vec![sign::new_secret().unwrap()]);
    assert_eq!(stranger.verify(&good, BODY, now), Err(Refused::Signature));
}

#[test]
fn a_message_is_dealt_with_once_however_often_and_at_once_it_comes() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let acme = world.organization("acme").await;
        let secret = sign::new_secret().unwrap();
        let verifier = Verifier::new("payments", vec![secret.clone()]);
        let headers = signed(&secret, "msg_1", world.now().as_second());
        // Rolled back: it was not dealt with.
        let verified = verifier.verify(&headers, BODY, world.now()).unwrap();
        let tx = world.db.tenant(&acme).await.unwrap();
        assert!(verified.accept(&tx, &acme, world.now()).await.unwrap());
        drop(tx);
        let tries: Vec<_> = (0..10)
            .map(|_| {
                let (db, acme, now) = (world.db.clone(), acme.clone(), world.now());
                let verified = verified.clone();
                tokio::spawn(async move {
                    let tx = db.tenant(&acme).await.unwrap();
                    let first = verified.accept(&tx, &acme, now).await.unwrap();
                    tx.commit().await.unwrap();
                    first
                })
            })
            .collect();
        let mut first = 0;
        for one in tries {
            first += usize::from(one.await.unwrap());
        }
        assert_eq!(first, 1);
        let other = world.organization("other").await;
        let tx = world.db.tenant(&other).await.unwrap();
        assert!(
            verified.accept(&tx, &other, world.now()).await.unwrap(),
            "another's is another"
        );
    });
}
