//! The chain on real databases of every flavour: who tampers with it is found out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use audit::{Entry, Fault, Filter, Finding, Report, record, trail, verify};
use jiff::Timestamp;
use platform::{
    Db, OrganizationId, Scope, migrate,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use serde_json::json;

async fn prepared(database: &TestDatabase) -> (Db, Scope, Scope) {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), audit::room()])
        .await
        .unwrap();
    let mut scopes = Vec::new();
    for name in ["acme", "other"] {
        let row = db
            .system()
            .await
            .unwrap()
            .query_one(
                "INSERT INTO platform.organization (name) VALUES ($1) RETURNING id",
                &[&name],
            )
            .await
            .unwrap();
        scopes.push(Scope::of_system(OrganizationId(row.get(0)), "test"));
    }
    let other = scopes.pop().unwrap();
    (db, scopes.pop().unwrap(), other)
}

fn now() -> Timestamp {
    "2026-03-02T12:00:00.123456Z".parse().unwrap()
}

async fn write(db: &Db, scope: &Scope, count: usize) {
    for number in 0..count {
        let tx = db.tenant(scope).await.unwrap();
        // Keys in their order, escapes and non-ASCII letters: what was written is what is hashed.
        let after = json!({"z": 1.50, "a": "año \"7\"\n", "number": number});
        let entry = Entry {
            action: "fleet.change_vehicle",
            subject: "vehicle:17",
            before: (number > 0).then_some(&after),
            after: Some(&after),
        };
        record(&tx, scope, &entry, now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn look(db: &Db) -> Report {
    verify(db, &[]).await.unwrap()
}

/// What somebody with the owner's rights can do who has switched the triggers off.
async fn tamper(db: &Db, sql: &str) {
    let owner = db.owner().await.unwrap();
    let tables = |how: &str| {
        let (triggers, force) = if how == "open" {
            ("DISABLE", "NO FORCE")
        } else {
            ("ENABLE", "FORCE")
        };
        ["entry", "head"].map(|table| {
            format!(
                "ALTER TABLE audit.{table} {triggers} TRIGGER USER, {force} ROW LEVEL SECURITY;"
            )
        })
    };
    let sql = format!(
        "{} {sql}; {}",
        tables("open").concat(),
        tables("close").concat()
    );
    owner.batch_execute(&sql).await.unwrap();
}

#[test]
fn everything_is_commented_and_every_query_is_sound() {
    on_each_database(|database| async move {
        let (db, ..) = prepared(&database).await;
        assert_commented(&db, "audit").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&db, &queries).await >= 5);
    });
}

#[test]
fn entries_written_at_the_same_time_make_one_sound_chain_for_each_organisation() {
    on_each_database(|database| async move {
        let (db, acme, other) = prepared(&database).await;
        let writers: Vec<_> = [&acme, &other, &acme, &other, &acme]
            .into_iter()
            .map(|scope| {
                let (db, scope) = (db.clone(), scope.clone());
                tokio::spawn(async move { write(&db, &scope, 20).await })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        // Rolled back: leaves no gap.
        let tx = db.tenant(&acme).await.unwrap();
        let entry = Entry {
            action: "fleet.change_vehicle",
            subject: "vehicle:1",
            before: None,
            after: None,
        };
        assert_eq!(record(&tx, &acme, &entry, now()).await.unwrap().seq, 61);
        drop(tx);
        let report = look(&db).await;
        assert_eq!((report.entries, &report.findings), (100, &Vec::new()));
        let lengths: Vec<i64> = report.anchors.iter().map(|anchor| anchor.seq).collect();
        assert_eq!(lengths, [60, 40]);
        assert_eq!(
            report.anchors[0].to_string().parse(),
            Ok(report.anchors[0].clone())
        );

        let tx = db.tenant(&other).await.unwrap();
        let of_vehicle = Filter {
            subject: Some("vehicle:17"),
            ..Filter::default()
        };
        let own = trail(&tx, other.organization, of_vehicle, None, 1000)
            .await
            .unwrap();
        assert_eq!(
            (own.len(), own[0].seq, own[0].actor.as_str()),
            (40, 40, "system:test")
        );
        assert_eq!(own[0].request_id, other.request.as_str());
        assert_eq!(own[0].after.as_ref().unwrap()["a"], "año \"7\"\n");
        for (filter, count) in [
            (
                Filter {
                    actor: Some("system:test"),
                    ..of_vehicle
                },
                40,
            ),
            (
                Filter {
                    actor: Some("user:1"),
                    ..of_vehicle
                },
                0,
            ),
            (
                Filter {
                    request: Some(other.request.as_str()),
                    ..Filter::default()
                },
                40,
            ),
            (
                Filter {
                    request: Some("another"),
                    ..Filter::default()
                },
                0,
            ),
        ] {
            let found = trail(&tx, other.organization, filter, None, 1000).await;
            assert_eq!(found.unwrap().len(), count, "{filter:?}");
        }
        let theirs = trail(&tx, acme.organization, Filter::default(), None, 1000)
            .await
            .unwrap();
        assert!(
            theirs.is_empty(),
            "another organisation's entries are not seen"
        );
    });
}

#[test]
fn nobody_may_change_the_trail() {
    on_each_database(|database| async move {
        let (db, acme, other) = prepared(&database).await;
        write(&db, &acme, 3).await;
        let refused = [
            "UPDATE audit.entry SET actor = 'user:1'",
            "DELETE FROM audit.entry",
            "TRUNCATE audit.entry",
            "UPDATE audit.head SET seq = 1",
            "DELETE FROM audit.head",
        ];
        for sql in refused {
            let tx = db.tenant(&acme).await.unwrap();
            let error = tx.batch_execute(sql).await.unwrap_err();
            assert_eq!(
                error.code().unwrap().code(),
                "42501",
                "the application: {sql}"
            );
            drop(tx);
            let error = db
                .system()
                .await
                .unwrap()
                .batch_execute(sql)
                .await
                .unwrap_err();
            assert_eq!(error.code().unwrap().code(), "42501", "the system: {sql}");
        }
        for sql in [refused[0], refused[1], refused[2], refused[4]] {
            let error = db
                .owner()
                .await
                .unwrap()
                .batch_execute(sql)
                .await
                .unwrap_err();
            assert_eq!(error.code().unwrap().code(), "42501", "the owner: {sql}");
        }
        let tx = db.tenant(&other).await.unwrap();
        let entry = Entry {
            action: "fleet.change_vehicle",
            subject: "vehicle:1",
            before: None,
            after: None,
        };
        let error = record(&tx, &acme, &entry, now()).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "in another's name");
        assert!(look(&db).await.findings.is_empty());
    });
}

#[test]
fn what_is_changed_removed_swapped_or_cut_off_is_found() {
    on_each_database(|database| async move {
        let (db, acme, _) = prepared(&database).await;
        let tenant = acme.organization.0;
        write(&db, &acme, 10).await;
        let sound = look(&db).await;
        assert!(sound.findings.is_empty());
        let keep = "DROP TABLE IF EXISTS public.kept; CREATE TABLE public.kept AS SELECT organization_id, seq, at, actor, action, subject, before::text, after::text, request_id, hash FROM audit.entry";
        let columns =
            "organization_id, seq, at, actor, action, subject, before, after, request_id, hash";
        let restore = format!(
            "DELETE FROM audit.entry; INSERT INTO audit.entry ({columns})
             SELECT organization_id, seq, at, actor, action, subject, before::json, after::json, request_id, hash FROM public.kept;
             UPDATE audit.head SET seq = 10, hash = (SELECT hash FROM public.kept WHERE seq = 10)"
        );
        tamper(&db, keep).await;
        let cut = "DELETE FROM audit.entry WHERE seq > 7;";
        let head_back =
            "UPDATE audit.head SET seq = 7, hash = (SELECT hash FROM public.kept WHERE seq = 7)";
        for (what, sql, seq, fault) in [
            (
                "a value",
                "UPDATE audit.entry SET after = '{\"z\":1.5}' WHERE seq = 4",
                4,
                Fault::Changed,
            ),
            (
                "who",
                "UPDATE audit.entry SET actor = 'user:9' WHERE seq = 1",
                1,
                Fault::Changed,
            ),
            (
                "when",
                "UPDATE audit.entry SET at = at + interval '1 us' WHERE seq = 10",
                10,
                Fault::Changed,
            ),
            (
                "only a space",
                "UPDATE audit.entry SET after = (after::text || ' ')::json WHERE seq = 2",
                2,
                Fault::Changed,
            ),
            (
                "one removed",
                "DELETE FROM audit.entry WHERE seq = 5",
                5,
                Fault::Missing,
            ),
            (
                "one removed, the rest moved up",
                "DELETE FROM audit.entry WHERE seq = 5; UPDATE audit.entry SET seq = -seq WHERE seq > 5; UPDATE audit.entry SET seq = -seq - 1 WHERE seq < 0",
                5,
                Fault::Changed,
            ),
            (
                "two swapped",
                "UPDATE audit.entry SET seq = -3 WHERE seq = 3; UPDATE audit.entry SET seq = 3 WHERE seq = 4; UPDATE audit.entry SET seq = 4 WHERE seq = -3",
                3,
                Fault::Changed,
            ),
            ("the tail cut off", cut, 8, Fault::Missing),
            ("all cut off", "DELETE FROM audit.entry", 1, Fault::Missing),
            ("the head gone", "DELETE FROM audit.head", 10, Fault::Head),
            ("the head put back", head_back, 8, Fault::Beyond),
        ] {
            tamper(&db, sql).await;
            let findings = look(&db).await.findings;
            assert_eq!(findings, [Finding { tenant, seq, fault }], "{what}");
            tamper(&db, "INSERT INTO audit.head SELECT organization_id, seq, hash FROM public.kept WHERE seq = 10 ON CONFLICT DO NOTHING").await;
            tamper(&db, &restore).await;
            assert!(look(&db).await.findings.is_empty(), "{what}: restored");
        }

        // The tail cut off and the head put back: only what was kept elsewhere can tell.
        tamper(&db, &format!("{cut} {head_back}")).await;
        assert!(look(&db).await.findings.is_empty());
        let finding = verify(&db, &sound.anchors).await.unwrap().findings;
        let fault = Fault::Missing;
        assert_eq!(
            finding,
            [Finding {
                tenant,
                seq: 10,
                fault
            }]
        );
        // And then grown again, with other entries.
        write(&db, &acme, 5).await;
        assert!(look(&db).await.findings.is_empty());
        let finding = verify(&db, &sound.anchors).await.unwrap().findings;
        // `number` starts anew, so entry 10 is another than it was.
        let fault = Fault::Anchor;
        assert_eq!(
            finding,
            [Finding {
                tenant,
                seq: 10,
                fault
            }]
        );
    });
}
