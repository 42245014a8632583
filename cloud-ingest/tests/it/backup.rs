//! A backup of a running service is restored: every row, every right, and the service goes on from there.

use std::{collections::BTreeMap, fs, path::Path, process::Output};

use platform::{
    Db,
    testing::{TestDatabase, on_each_database, prepare_all},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    access::{EMAIL, PASSWORD, add_user, sign_in},
    isolation::furnish,
    machine::{pg_programs, program, stderr, until},
    migrations::{beside, drop_beside, schema},
    service::{EMBEDDED, Place},
};

/// What every table has: the number of rows, and a digest of all of them.
async fn contents(db: &Db) -> BTreeMap<String, String> {
    let owner = db.owner().await.unwrap();
    let tables = owner
        .query(include_str!("../../queries/backup_tables.sql"), &[])
        .await
        .unwrap();
    let mut contents = BTreeMap::new();
    for row in tables {
        let table: String = row.get(0);
        let sql = format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM {table} AS t"
        );
        let row = owner.query_one(&sql, &[]).await.unwrap();
        contents.insert(table, row.get(0));
    }
    contents
}

/// Everything that the schema is, rights and policies included; without the owner's own rights, which it has without saying.
async fn rights(db: &Db) -> Vec<String> {
    let owner = db.owner().await.unwrap();
    let own: String = owner
        .query_one("SELECT current_user::text || '='", &[])
        .await
        .unwrap()
        .get(0);
    let lines = schema(db).await.into_iter();
    lines
        .map(|line| {
            let Some((before, rest)) = line.split_once(" acl {") else {
                return line;
            };
            let (acl, after) = rest.split_once('}').unwrap();
            let others: Vec<&str> = acl
                .split(',')
                .filter(|one| !one.starts_with(&own))
                .collect();
            if others.is_empty() {
                format!("{before} acl {after}")
            } else {
                format!("{before} acl {{{}}}{after}", others.join(","))
            }
        })
        .collect()
}

fn backup(args: &[&str], database: &str) -> Output {
    let mut command = program();
    command.arg("backup").args(args);
    if args[0] != "verify" {
        command.args(["--database", database]);
    }
    tokio::task::block_in_place(|| command.output()).unwrap()
}

fn refused(args: &[&str], database: &str, says: &str) {
    let output = backup(args, database);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains(says), "{args:?}: {said}");
}

/// Writes the manifest anew, as somebody does who can count.
fn with_manifest(folder: &Path, change: impl Fn(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let text = serde_json::to_vec_pretty(&manifest).unwrap();
    let sum = format!("{}  manifest.json\n", hex::encode(Sha256::digest(&text)));
    fs::write(path, text).unwrap();
    fs::write(folder.join("manifest.sha256"), sum).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_backup_is_restored_row_for_row_and_the_service_goes_on() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let version = database.connect().await.server().await.unwrap().version;
        let Some(programs) = pg_programs(place.folder.path(), version) else {
            return;
        };
        let with = ["--programs", programs.to_str().unwrap()];
        place.equip("");
        let service = place.serve();
        furnish(&place, &service).await;
        add_user_named(&place, &service).await;
        let (folder, files) = (
            place.folder.path().join("backup"),
            place.folder.path().join("files"),
        );
        let (name, store) = (folder.to_str().unwrap(), files.to_str().unwrap());
        // While it runs.
        let made = backup(
            &["make", name, "--files", store, with[0], with[1]],
            &database.url,
        );
        assert!(made.status.success(), "{}", stderr(&made));
        refused(
            &["make", name, "--files", store, with[0], with[1]],
            &database.url,
            "is there already",
        );
        service.stop();
        // And once nothing moves any more, to be compared row for row.
        let folder = place.folder.path().join("second");
        let name = folder.to_str().unwrap();
        let made = backup(
            &["make", name, "--files", store, with[0], with[1]],
            &database.url,
        );
        assert!(made.status.success(), "{}", stderr(&made));
        let verified = backup(&["verify", name], "");
        assert!(verified.status.success(), "{}", stderr(&verified));
        let ring = fs::read(place.ring()).unwrap();
        let ring = String::from_utf8_lossy(&ring);
        let secret = ring.trim().rsplit([' ', ':']).next().unwrap().to_owned();
        for entry in ["database.dump", "manifest.json"] {
            let content = fs::read(folder.join(entry)).unwrap();
            let found = content
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{entry} has the key ring");
        }

        let db = database.connect().await;
        let (expected, rights) = (contents(&db).await, rights(&db).await);
        let target = beside(&database, &db, "target").await;
        let url = with_suffix(&database.url, "_target");
        refuse_what_is_not_good(&folder, &url, &target, with).await;
        let target_files = place.folder.path().join("restored-files");
        let to = target_files.to_str().unwrap();
        let restored = backup(&["restore", name, "--files", to, with[0], with[1]], &url);
        assert!(restored.status.success(), "{}", stderr(&restored));
        let found = contents(&target).await;
        assert!(expected.len() > 50, "{}", expected.len());
        for (table, rows) in &expected {
            assert_eq!(found.get(table), Some(rows), "{table}");
        }
        assert_eq!(found.len(), expected.len());
        let found = self::rights(&target).await;
        for line in rights.iter().chain(&found) {
            assert!(rights.contains(line) && found.contains(line), "{line}");
        }
        let full = expected
            .values()
            .filter(|rows| !rows.starts_with("0 "))
            .count();
        eprintln!(
            "{} tables, {full} of them with rows, on {}",
            expected.len(),
            database.label
        );
        refused(
            &["restore", name, "--files", to, with[0], with[1]],
            &url,
            "is not empty",
        );

        // The service goes on there: people sign in, keys are known, files are read, jobs are done.
        let again = Place::new(&url, EMBEDDED);
        fs::copy(place.ring(), again.ring()).unwrap();
        copy(&target_files, &again.folder.path().join("files"));
        again.equip("");
        let service = again.serve();
        let signed = sign_in(&service, PASSWORD, false).await;
        assert_eq!(signed.status, 200, "{}", signed.body);
        let file = service
            .post("/v1/files/1/links", "", r#"{"seconds":60}"#)
            .await
            .json();
        let link = service.get(file["path"].as_str().unwrap()).await;
        assert_eq!((link.status, link.body.as_str()), (200, "content"));
        let users = service.get("/v1/users").await.json();
        let user = users["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|user| user["email"] == EMAIL)
            .unwrap();
        let erase = json!({"kind": "erasure", "subject": format!("user:{}", user["id"])});
        let asked = service
            .post("/v1/privacy/requests", "", &erase.to_string())
            .await;
        assert_eq!(asked.status, 201, "{}", asked.body);
        let path = format!("/v1/privacy/requests/{}", asked.json()["id"]);
        until("a job is done", 30, || async {
            service.get(&path).await.json()["state"] == "done"
        })
        .await;
        again.run(&["audit", "verify"]);
        service.stop();
        drop(target);
        drop_beside(&database, &db, "target").await;
    });
}

#[test]
fn the_statements_of_this_crate_fit_the_tables() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        cloud_ingest::rooms::prepare(&db).await.unwrap();
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&db, &queries).await >= 6);
    });
}

/// None of it changes the empty database.
async fn refuse_what_is_not_good(folder: &Path, url: &str, target: &Db, with: [&str; 2]) {
    let bad = folder.with_file_name("bad");
    let name = bad.to_str().unwrap();
    let spoil = |spoil: &dyn Fn()| {
        let _ = fs::remove_dir_all(&bad);
        copy(folder, &bad);
        spoil();
    };
    spoil(&|| {
        let path = bad.join("database.dump");
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(path, content).unwrap();
    });
    refused(&["verify", name], "", "damaged: database.dump");
    refused(
        &["restore", name, "--files", name, with[0], with[1]],
        url,
        "damaged: database.dump",
    );
    spoil(&|| fs::remove_dir_all(bad.join("files")).unwrap());
    refused(&["verify", name], "", "damaged: ");
    spoil(&|| {
        let path = bad.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replacen("\"form\": 1", "\"form\": 1 ", 1)).unwrap();
    });
    refused(
        &["restore", name, "--files", name, with[0], with[1]],
        url,
        "does not fit",
    );
    spoil(&|| with_manifest(&bad, |manifest| manifest["migrations"]["web"] = json!(99)));
    refused(
        &["restore", name, "--files", name, with[0], with[1]],
        url,
        "newer version of this program",
    );
    spoil(&|| with_manifest(&bad, |manifest| manifest["timescaledb"] = json!("0.0.1")));
    refused(
        &["restore", name, "--files", name, with[0], with[1]],
        url,
        "the backup is of TimescaleDB 0.0.1",
    );
    spoil(&|| with_manifest(&bad, |manifest| manifest["owner"] = json!("somebody")));
    refused(
        &["restore", name, "--files", name, with[0], with[1]],
        url,
        "restore as that one",
    );
    spoil(&|| {
        with_manifest(&bad, |manifest| {
            let part = manifest["parts"]["database.dump"].clone();
            manifest["parts"]["../outside"] = part;
        });
    });
    refused(&["verify", name], "", "no place in the folder");
    refused(&["restore", folder.to_str().unwrap()], url, "--files");
    assert!(contents(target).await.is_empty());
}

async fn add_user_named(place: &Place, service: &crate::service::Service) {
    // Somebody of this address is there, without the password that is known.
    let users = service.get("/v1/users").await.json();
    for user in users["items"].as_array().unwrap() {
        let body = json!({"kind": "rectification", "subject": format!("user:{}", user["id"]), "corrections": {"email": "first@example.com"}});
        let moved = service
            .post("/v1/privacy/requests", "", &body.to_string())
            .await;
        assert_eq!(moved.status, 201, "{}", moved.body);
    }
    add_user(place, "viewer");
}

fn with_suffix(url: &str, suffix: &str) -> String {
    match url.split_once('?') {
        Some((before, after)) => format!("{before}{suffix}?{after}"),
        None => format!("{url}{suffix}"),
    }
}
