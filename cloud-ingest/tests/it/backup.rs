//! Backups are complete or not there, and what they bring back is what was saved.

use std::{fs, path::Path, process::Output};

use cloud_ingest::{backup, rooms};
use platform::{
    Db,
    migrate::migrate_to,
    testing::{TestDatabase, on_each_database},
};
use serde_json::Value;

use crate::{
    machine::{program, stderr},
    service::{EMBEDDED, Place},
};

/// Where the tools for this server are: those of the path when they are new enough, else those of the private root.
fn tools(database: &TestDatabase, folder: &Path, version: u32) -> Option<String> {
    if backup::Tools::default().fit(version).is_ok() {
        return Some("/usr/bin".to_owned());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.patio/root13");
    let root = root.canonicalize().ok();
    let made = root.and_then(|root| {
        let bin = root.join(format!("usr/lib/postgresql/{}/bin", version / 10_000));
        let tools = folder.join("tools");
        fs::create_dir_all(&tools).ok()?;
        for name in ["pg_dump", "pg_restore"] {
            // The root's own loader and libraries: nothing of the host's is asked.
            let script = format!(
                "#!/bin/sh\nexec '{0}/lib64/ld-linux-x86-64.so.2' --library-path '{0}/usr/lib/x86_64-linux-gnu' '{1}/{name}' \"$@\"\n",
                root.display(),
                bin.display()
            );
            let path = tools.join(name);
            fs::write(&path, script).ok()?;
            let mut may = fs::metadata(&path).ok()?.permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut may, 0o755);
            fs::set_permissions(&path, may).ok()?;
        }
        let tools = tools.to_str()?.to_owned();
        backup::Tools::new(Some(tools.clone().into())).fit(version).ok().map(|()| tools)
    });
    if made.is_none() {
        eprintln!(
            "skipped: no pg_dump of PostgreSQL {} for {}",
            version / 10_000,
            database.label
        );
    }
    made
}

fn run(args: &[&str]) -> Output {
    let mut command = program();
    command.args(args);
    tokio::task::block_in_place(|| command.output()).unwrap()
}

fn refused(args: &[&str], says: &str) {
    let output = run(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains(says), "{said}");
}

/// The URL of another database on the same server.
fn beside(database: &TestDatabase, name: &str) -> (String, String) {
    let (place, own) = database.url.rsplit_once('/').unwrap();
    let (own, rest) = own
        .split_once('?')
        .map_or((own, String::new()), |(own, rest)| {
            (own, format!("?{rest}"))
        });
    let name = format!("{own}_{name}");
    let url = format!("{place}/{name}{rest}");
    (name, url)
}

async fn command(db: &Db, sql: &str) {
    db.owner().await.unwrap().batch_execute(sql).await.unwrap();
}

/// Every table's content, as one digest each.
async fn contents(db: &Db) -> Vec<(String, Option<String>)> {
    let client = db.owner().await.unwrap();
    let mut all = Vec::new();
    for (name, _) in backup::rows(&client).await.unwrap() {
        let sql = format!("SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} AS t");
        all.push((name, client.query_one(&sql, &[]).await.unwrap().get(0)));
    }
    all
}

#[test]
fn what_is_restored_is_what_was_saved() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let db = database.connect().await;
        let server = db.server().await.unwrap();
        let folder = place.folder.path();
        let Some(tools) = tools(&database, folder, server.version) else {
            return;
        };
        let service = place.serve();
        for n in 0..5 {
            let body = format!(r#"{{"name":"Van {n}","kind":"vehicle"}}"#);
            let key = format!("idempotency-key: {n}\r\n");
            assert_eq!(service.post("/v1/assets", &key, &body).await.status, 201);
        }
        command(&db, "INSERT INTO telemetry.sample (time, asset_id, source) SELECT now() - n * interval '1 hour', 1, 1 FROM generate_series(1, 200) AS n").await;
        let key = service.key.clone();
        service.stop();
        let files = folder.join("files");
        fs::create_dir_all(files.join("1/ab")).unwrap();
        fs::write(files.join("1/ab/abcdef"), b"a photo").unwrap();
        let to = folder.join("backup");
        let (to, files) = (to.to_str().unwrap(), files.to_str().unwrap());
        let url = database.url.as_str();
        let save = [
            "backup",
            "--to",
            to,
            "--files",
            files,
            "--tools",
            &tools,
            "--database",
            url,
        ];
        // What an interrupted one left does not look complete, and is no hindrance.
        fs::create_dir_all(format!("{to}.partial")).unwrap();
        fs::write(format!("{to}.partial/database.dump"), b"half").unwrap();
        let (name, there) = beside(&database, "restored");
        command(&db, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let half = format!("{to}.partial");
        refused(
            &[
                "restore",
                "--from",
                &half,
                "--tools",
                &tools,
                "--database",
                &there,
            ],
            "interrupted",
        );
        let saved = run(&save);
        assert!(saved.status.success(), "{}", stderr(&saved));
        assert!(!Path::new(&half).exists());
        let said = String::from_utf8_lossy(&saved.stdout).into_owned();
        assert!(said.contains("without the vault's key ring"), "{said}");
        refused(&save, "there already");
        let manifest: Value =
            serde_json::from_slice(&fs::read(format!("{to}/manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest["tables"]["platform.asset"], 5);
        assert_eq!(manifest["tables"]["telemetry.sample"], 200);
        let ring = fs::read(place.ring()).unwrap();
        for file in manifest["files"].as_array().unwrap() {
            let content = fs::read(format!("{to}/{}", file["path"].as_str().unwrap())).unwrap();
            assert!(!content.windows(ring.len()).any(|part| part == ring));
        }

        // Nothing is restored over what is there, or from what was changed.
        refused(
            &[
                "restore",
                "--from",
                to,
                "--files",
                files,
                "--tools",
                &tools,
                "--database",
                &there,
            ],
            "is not empty",
        );
        let back = folder.join("back");
        let back = back.to_str().unwrap();
        let bring = [
            "restore",
            "--from",
            to,
            "--files",
            back,
            "--tools",
            &tools,
            "--database",
            &there,
        ];
        let over = [
            "restore",
            "--from",
            to,
            "--files",
            back,
            "--tools",
            &tools,
            "--database",
            url,
        ];
        refused(&over, "is not empty");
        let dump = fs::read(format!("{to}/database.dump")).unwrap();
        let mut changed = dump.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(format!("{to}/database.dump"), &changed).unwrap();
        refused(&bring, "checksum");
        fs::write(format!("{to}/database.dump"), &dump).unwrap();

        let restored = run(&bring);
        assert!(restored.status.success(), "{}", stderr(&restored));
        let other = Db::connect(&there, 4).await.unwrap();
        assert_eq!(contents(&other).await, contents(&db).await);
        assert_eq!(other.server().await.unwrap().flavour, server.flavour);
        assert_eq!(fs::read(format!("{back}/1/ab/abcdef")).unwrap(), b"a photo");
        // The program runs on it; who had a key has it.
        let again = Place::new(&there, EMBEDDED);
        let mut service = again.serve();
        service.key = key;
        let assets = service.get("/v1/assets").await.json();
        assert_eq!(assets["items"].as_array().unwrap().len(), 5);
        assert_eq!(
            service
                .post("/v1/assets", "", r#"{"name":"Van 6"}"#)
                .await
                .status,
            201
        );
        service.stop();
        drop(other);
        command(&db, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    });
}

/// A backup that an older program made is brought up to date.
#[test]
fn an_older_backup_is_migrated() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        let version = db.server().await.unwrap().version;
        let folder = tempfile::tempdir().unwrap();
        let Some(tools) = tools(&database, folder.path(), version) else {
            return;
        };
        let older = [(platform::room(), 3)];
        migrate_to(&db, &older).await.unwrap();
        command(
            &db,
            "INSERT INTO platform.organization (name) VALUES ('acme')",
        )
        .await;
        let to = folder.path().join("backup");
        let to = to.to_str().unwrap();
        let saved = run(&[
            "backup",
            "--to",
            to,
            "--tools",
            &tools,
            "--database",
            &database.url,
        ]);
        assert!(saved.status.success(), "{}", stderr(&saved));
        let (name, there) = beside(&database, "newer");
        command(&db, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let restored = run(&[
            "restore",
            "--from",
            to,
            "--tools",
            &tools,
            "--database",
            &there,
        ]);
        assert!(restored.status.success(), "{}", stderr(&restored));
        let other = Db::connect(&there, 2).await.unwrap();
        let server = other.server().await.unwrap();
        assert_eq!(
            rooms::missing(&other, &server).await.unwrap(),
            Vec::<String>::new()
        );
        let client = other.owner().await.unwrap();
        let names: String = client
            .query_one(
                "SELECT string_agg(name, ' ') FROM platform.organization",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert!(names.contains("acme"), "{names}");
        drop((client, other));
        command(&db, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    });
}
