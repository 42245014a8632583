//! `export` and `import` from the outside: what they say, their status, and kill -9.

use std::{path::Path, process::Output, time::Duration};

use platform::testing::{TestDatabase, on_each_database};
use shared_protocol::Stream;
use telemetry::read;

use crate::{
    machine::{program, stderr},
    service::{EMBEDDED, Place},
};

const WALL_US: i64 = 1_760_000_000_000_000;

fn import(place: &Place, file: &Path, more: &[&str]) -> Output {
    program()
        .arg("import")
        .arg(file)
        .args(more)
        .args(["--database", &place.database])
        .output()
        .unwrap()
}

#[test]
fn files_go_out_and_come_in_once() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let mut gateway = place.gateway("depot-1");
        gateway.columns();
        for n in 0..200 {
            gateway.samples(Stream::Live, 20, WALL_US + n * 20_000_000);
        }
        let (patience, within) = (Duration::from_secs(2), Duration::from_secs(60));
        gateway.deliver(&service.broker, patience, within).await;
        let db = database.connect().await;
        let client = db.system().await.unwrap();
        let sum = async || {
            let counts = read::counts(&client, None).await.unwrap();
            counts.iter().map(|count| count.samples).sum::<i64>()
        };
        let stored = sum().await;
        // Nothing else writes from here on.
        service.stop();
        let organization = |name: &'static str| ["--organization", name];
        for name in ["all.csv", "all.parquet"] {
            let file = place.folder.path().join(name);
            let path = file.to_str().unwrap();
            let said = place.run(&["export", "--out", path]);
            assert_eq!(said.trim(), format!("{path}: {stored} samples"));
            let said = place.run(&["import", path]);
            assert_eq!(
                said.trim(),
                format!("{path}: {stored} samples, 0 of them new")
            );
            // Another organisation has other assets.
            let elsewhere = import(&place, &file, &organization("nobody"));
            assert_eq!(elsewhere.status.code(), Some(2), "{}", stderr(&elsewhere));
            place.run(&["organization", "add", "other"]);
            let elsewhere = import(&place, &file, &organization("other"));
            assert_eq!(elsewhere.status.code(), Some(2));
            assert!(
                stderr(&elsewhere).contains("asset: the organisation has no asset"),
                "{}",
                stderr(&elsewhere)
            );
            let short = import(&place, &file, &["--samples", "7"]);
            assert_eq!(short.status.code(), Some(2));
            assert_eq!(sum().await, stored);
            client
                .batch_execute("DELETE FROM telemetry.sample; DELETE FROM telemetry.extra")
                .await
                .unwrap();
            place.run(&["import", path, "--check"]);
            assert_eq!(sum().await, 0);
            // Killed at a later point each time, until it gets through.
            let mut patience = Duration::from_millis(50);
            loop {
                let mut child = program()
                    .arg("import")
                    .arg(&file)
                    .args(["--database", &place.database])
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap();
                tokio::time::sleep(patience).await;
                if let Some(status) = child.try_wait().unwrap() {
                    assert!(status.success());
                    break;
                }
                child.kill().unwrap();
                child.wait().unwrap();
                patience = patience * 3 / 2;
            }
            assert_eq!(sum().await, stored);
        }
        let part = place.folder.path().join("part.csv");
        place.run(&[
            "export",
            "--asset",
            "1",
            "--from",
            "2025-10-09T08:53:20Z",
            "--to",
            "2025-10-09T08:53:30Z",
            "--out",
            part.to_str().unwrap(),
        ]);
        let out = place.folder.path().join("all.csv");
        let again = program()
            .args(["export", "--out"])
            .arg(&out)
            .args(["--database", &place.database])
            .output()
            .unwrap();
        assert_eq!(again.status.code(), Some(2));
        assert!(stderr(&again).contains("it is there already"));
        // The trail has each file that left, the newest first.
        let organization = client
            .query_one(
                "SELECT id FROM platform.organization WHERE name = 'default'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        let trail = audit::trail(&client, organization, audit::Filter::default(), None, 100)
            .await
            .unwrap();
        let of = |action: &str| -> Vec<_> {
            let entries = trail.iter().filter(|entry| entry.action == action);
            entries
                .inspect(|entry| assert_eq!(entry.actor, "system:command-line"))
                .inspect(|entry| assert!(entry.before.is_none()))
                .collect()
        };
        let exports = of("samples.export");
        assert_eq!(exports.len(), 3);
        let after = |at: usize| exports[at].after.clone().unwrap();
        assert_eq!(exports[0].subject, "asset:1");
        assert_eq!(after(0)["assets"], serde_json::json!([1]));
        assert_eq!(after(0)["to"], "2025-10-09T08:53:30Z");
        let lines = std::fs::read_to_string(&part).unwrap().lines().count();
        assert_eq!(after(0)["samples"], lines - 1);
        for at in [1, 2] {
            assert!(exports[at].subject.starts_with("organization:"));
            assert_eq!(after(at)["samples"], stored);
        }
        // Each file twice at least, and the attempts that were killed late enough; what was refused came in nowhere.
        let imports = of("samples.import");
        assert!(imports.len() >= 4, "{}", imports.len());
        for entry in imports {
            let what = entry.after.clone().unwrap();
            assert_eq!(what["samples"], stored, "{what}");
            assert!(what["assets"].as_array().is_some_and(|all| !all.is_empty()));
        }
    });
}
