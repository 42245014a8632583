//! Secrets and files on real databases of every flavour, with stand-ins for the services outside.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use outbound::{
    Client, Rules,
    standin::{Act, StandIn},
};
use platform::{
    Clock, Db, OrganizationId, Scope, migrate,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use vault::{
    Column, Files, Ring, Secret,
    files::{
        FileError,
        s3::{Access, Bucket},
        scan::{Clamd, Place, Scan, ScanError, Unscanned, Verdict},
        store::{Directory, Store, StoreError},
    },
    rotate,
};

fn now() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

async fn prepared(database: &TestDatabase) -> (Db, Scope, Scope) {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), vault::room()])
        .await
        .unwrap();
    let mut scopes = Vec::new();
    for name in ["acme", "other"] {
        let add = "INSERT INTO platform.organization (name) VALUES ($1) RETURNING id";
        let client = db.system().await.unwrap();
        let row = client.query_one(add, &[&name]).await.unwrap();
        scopes.push(Scope::of_system(OrganizationId(row.get(0)), "test"));
    }
    let other = scopes.pop().unwrap();
    (db, scopes.pop().unwrap(), other)
}

#[test]
fn everything_is_commented_and_every_query_is_sound() {
    on_each_database(|database| async move {
        let (db, ..) = prepared(&database).await;
        assert_commented(&db, "vault").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&db, &queries).await >= 5);
    });
}

#[test]
fn keys_are_changed_while_values_are_written() {
    const PLACE: Column = Column {
        table: "public.thing",
        column: "secret",
        row: "id",
    };
    on_each_database(|database| async move {
        let (db, ..) = prepared(&database).await;
        let owner = db.owner().await.unwrap();
        owner
            .batch_execute("CREATE TABLE public.thing (id bigint PRIMARY KEY, secret bytea); GRANT ALL ON public.thing TO patio_system")
            .await
            .unwrap();
        let (one, two) = (Ring::new_line(1).unwrap(), Ring::new_line(2).unwrap());
        let old = Ring::read(&one).unwrap();
        let both = Ring::read(&format!("{one}\n{two}")).unwrap();
        let secret = |id: i64| Secret::new(format!("secret {id}"));
        let put = "INSERT INTO public.thing VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET secret = excluded.secret";
        for id in -350..250_i64 {
            let sealed = (id % 7 != 0).then(|| old.seal(PLACE, id, &secret(id)).unwrap());
            owner.execute(put, &[&id, &sealed]).await.unwrap();
        }
        // Somebody writes meanwhile, under the old key still.
        let (writer, ring) = (db.clone(), old.clone());
        let writing = tokio::spawn(async move {
            let client = writer.system().await.unwrap();
            for id in (0..250_i64).rev() {
                let sealed = ring
                    .seal(PLACE, id, &Secret::new(format!("newer {id}")))
                    .unwrap();
                client.execute(put, &[&id, &sealed]).await.unwrap();
            }
        });
        let first = rotate(&db, &both, &[PLACE]).await.unwrap();
        writing.await.unwrap();
        let second = rotate(&db, &both, &[PLACE]).await.unwrap();
        assert!(first > 300, "{first}");
        assert_eq!(
            rotate(&db, &both, &[PLACE]).await.unwrap(),
            0,
            "after {first} and {second}"
        );
        let new = Ring::read(&two).unwrap();
        for row in owner
            .query("SELECT id, secret FROM public.thing", &[])
            .await
            .unwrap()
        {
            let (id, sealed): (i64, Option<Vec<u8>>) = (row.get(0), row.get(1));
            let Some(sealed) = sealed else { continue };
            let expected = if id >= 0 {
                Secret::new(format!("newer {id}"))
            } else {
                secret(id)
            };
            assert_eq!(new.open(PLACE, id, &sealed).unwrap(), expected);
        }
    });
}

#[test]
fn a_file_is_kept_once_by_its_content_and_belongs_to_its_organisation() {
    on_each_database(|database| async move {
        let (db, acme, other) = prepared(&database).await;
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(Arc::new(Directory::new(folder.path())), Arc::new(Unscanned));
        let photo = Bytes::from_static(b"\xff\xd8 a dented bumper");
        let mut ids = Vec::new();
        for (scope, name) in [(&acme, "one.jpg"), (&acme, "two.jpg"), (&other, "one.jpg")] {
            let tx = db.tenant(scope).await.unwrap();
            let file = files
                .add(&tx, scope, name, "image/jpeg", photo.clone(), now())
                .await
                .unwrap();
            assert_eq!(vault::files::about(&tx, file.id).await.unwrap(), file);
            tx.commit().await.unwrap();
            ids.push(file.id);
        }
        assert_eq!(count(folder.path()), 2, "once for each organisation");

        let tx = db.tenant(&other).await.unwrap();
        assert!(matches!(
            vault::files::about(&tx, ids[0]).await,
            Err(FileError::Missing(_))
        ));
        assert!(matches!(
            files.forget(&tx, &other, ids[0]).await,
            Err(FileError::Missing(_))
        ));
        drop(tx);

        let tx = db.tenant(&acme).await.unwrap();
        files.forget(&tx, &acme, ids[0]).await.unwrap();
        let second = vault::files::about(&tx, ids[1]).await.unwrap();
        assert_eq!(
            files.content(acme.organization, &second).await.unwrap(),
            photo
        );
        files.forget(&tx, &acme, ids[1]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(folder.path()), 1);

        let tx = db.tenant(&other).await.unwrap();
        let third = vault::files::about(&tx, ids[2]).await.unwrap();
        let path = walk(folder.path()).pop().unwrap();
        std::fs::write(&path, b"\xff\xd8 a perfect bumper").unwrap();
        let error = files.content(other.organization, &third).await.unwrap_err();
        assert!(matches!(error, FileError::Changed(_)), "{error}");
        for (name, media_type) in [
            ("", "image/jpeg"),
            ("../x", "image/jpeg"),
            ("x", "jpeg"),
            ("x", "a/b; c"),
        ] {
            let error = files
                .add(&tx, &other, name, media_type, photo.clone(), now())
                .await;
            assert!(
                matches!(error, Err(FileError::Field { .. })),
                "{name} {media_type}"
            );
        }
    });
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn count(folder: &Path) -> usize {
    walk(folder).len()
}

/// A clamd that speaks INSTREAM, finds `EICAR`, and can be told to fall silent or to hang up.
async fn clamd(reply: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut command = [0; 10];
            stream.read_exact(&mut command).await.unwrap();
            assert_eq!(&command, b"zINSTREAM\0");
            let mut content = Vec::new();
            loop {
                let length = stream.read_u32().await.unwrap() as usize;
                if length == 0 {
                    break;
                }
                let begun = content.len();
                content.resize(begun + length, 0);
                stream.read_exact(&mut content[begun..]).await.unwrap();
            }
            let found = content.windows(5).any(|word| word == b"EICAR");
            let said = reply.unwrap_or(if found {
                "stream: Eicar-Signature FOUND\0"
            } else {
                "stream: OK\0"
            });
            if said == "silence" {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            stream.write_all(said.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn clamd_is_asked_and_what_it_does_not_call_clean_is_not() {
    let scan = async |reply, content: &[u8]| {
        let place = Place::Tcp(clamd(reply).await);
        Clamd::new(place, Duration::from_millis(300))
            .scan(content)
            .await
    };
    let long = vec![b'x'; 200_000];
    assert_eq!(scan(None, &long).await.unwrap(), Verdict::Clean);
    let mut infected = long.clone();
    infected.extend(b"..EICAR..");
    let found = Verdict::Infected("Eicar-Signature".to_owned());
    assert_eq!(scan(None, &infected).await.unwrap(), found);
    assert!(matches!(
        scan(Some("silence"), b"").await,
        Err(ScanError::Late(_))
    ));
    assert!(matches!(
        scan(Some(""), b"").await,
        Err(ScanError::Refused(_))
    ));
    let limit = "INSTREAM size limit exceeded. ERROR\0";
    assert!(matches!(
        scan(Some(limit), b"").await,
        Err(ScanError::Refused(_))
    ));
    let nobody = Place::Tcp("127.0.0.1:1".parse().unwrap());
    let error = Clamd::new(nobody, Duration::from_secs(1)).scan(b"").await;
    assert!(matches!(error, Err(ScanError::Unreachable { .. })));
}

#[test]
fn what_is_infected_or_cannot_be_scanned_is_not_kept() {
    on_each_database(|database| async move {
        let (db, acme, _) = prepared(&database).await;
        let folder = tempfile::tempdir().unwrap();
        for (reply, content) in [(None, "EICAR"), (Some(""), "harmless")] {
            let scanner = Clamd::new(Place::Tcp(clamd(reply).await), Duration::from_secs(5));
            let files = Files::new(Arc::new(Directory::new(folder.path())), Arc::new(scanner));
            let tx = db.tenant(&acme).await.unwrap();
            let refused = files
                .add(&tx, &acme, "x", "text/plain", content.into(), now())
                .await;
            assert!(
                matches!(refused, Err(FileError::Infected(_) | FileError::Scan(_))),
                "{content}"
            );
            let rows = tx
                .query_one("SELECT count(*) FROM vault.file", &[])
                .await
                .unwrap();
            assert_eq!(rows.get::<_, i64>(0), 0);
        }
        assert_eq!(count(folder.path()), 0);
    });
}

fn bucket(world: &StandIn) -> Bucket {
    let rules = Rules {
        plain_http: true,
        any_address: true,
        total: Duration::from_millis(300),
        answer: 1024 * 1024,
        ..Rules::STRANGERS
    };
    let access = Access {
        endpoint: world.url("/").parse().unwrap(),
        bucket: "depot".to_owned(),
        region: "us-east-1".to_owned(),
        key_id: "AKID".to_owned(),
        key: Secret::new("verysecret"),
        path_style: true,
    };
    Bucket::new(access, Client::new(rules), Clock::by_hand(now()).0).unwrap()
}

#[tokio::test]
async fn a_bucket_is_spoken_to_with_signed_urls_and_checksums() {
    let world = StandIn::start([
        Act::Answer(200, String::new()),
        Act::Answer(200, "content".to_owned()),
        Act::Answer(204, String::new()),
        Act::Answer(404, "<Code>NoSuchKey</Code>".to_owned()),
        Act::Answer(403, "<Code>SignatureDoesNotMatch</Code>".to_owned()),
    ])
    .await;
    let bucket = bucket(&world);
    bucket.put("3/ab/abcd", "content".into()).await.unwrap();
    assert_eq!(bucket.get("3/ab/abcd").await.unwrap(), "content");
    bucket.delete("3/ab/abcd").await.unwrap();
    assert!(matches!(bucket.get("x").await, Err(StoreError::Missing(_))));
    let error = bucket.put("x", "y".into()).await.unwrap_err().to_string();
    assert!(
        error.contains("403") && error.contains("SignatureDoesNotMatch"),
        "{error}"
    );
    let seen = world.seen();
    assert!(
        seen[0].line.starts_with("PUT /depot/3/ab/abcd?"),
        "{}",
        seen[0].line
    );
    for part in [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Credential=AKID%2F20260302%2Fus-east-1",
        "X-Amz-Signature=",
    ] {
        assert!(seen[0].line.contains(part), "{part}: {}", seen[0].line);
    }
    // SHA-256 of `content`, in Base64.
    assert_eq!(
        seen[0].header("x-amz-checksum-sha256"),
        Some("7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=")
    );
    assert!(
        seen[0].line.contains("x-amz-checksum-sha256"),
        "it is signed: {}",
        seen[0].line
    );
    assert!(seen[1].line.starts_with("GET /depot/3/ab/abcd?"));
    assert!(seen[2].line.starts_with("DELETE /depot/3/ab/abcd?"));
    let shown = format!("{bucket:?} {error}");
    assert!(!shown.contains("verysecret"), "{shown}");
}

#[tokio::test]
async fn a_bucket_that_stored_and_did_not_say_so_is_asked_again() {
    let world = StandIn::start([
        Act::HangUpAfter,
        Act::SilentAfter(Duration::from_secs(60)),
        Act::Answer(200, String::new()),
    ])
    .await;
    bucket(&world).put("k", "content".into()).await.unwrap();
    let seen = world.seen();
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter().all(|one| one.body == b"content"),
        "the same each time"
    );
    let world = StandIn::start(std::iter::repeat_n(
        Act::Answer(503, "slow down".to_owned()),
        3,
    ))
    .await;
    let error = bucket(&world).get("k").await.unwrap_err().to_string();
    assert!(
        error.contains("503") && error.contains("slow down"),
        "{error}"
    );
}
