//! `cloud-ingest gateway …` on a real database.

use platform::testing::{TestDatabase, on_each_database};
use shared_protocol::SigningKey;

use crate::{
    machine::{run, stderr},
    service::{EMBEDDED, Place},
};

#[test]
fn gateways_are_registered_listed_and_revoked() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let empty = run(&["gateway", "list", "--database", &database.url]);
        assert_eq!(empty.status.code(), Some(2));
        assert!(
            stderr(&empty).contains("run `cloud-ingest database migrate`"),
            "{}",
            stderr(&empty)
        );
        place.run(&["database", "migrate"]);
        let key = || SigningKey::generate().unwrap().verifying_key().to_string();
        let (first, second) = (key(), key());
        let refused = |args: &[&str]| {
            let output = run(&[args, &["--database", &database.url]].concat());
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            stderr(&output)
        };
        for _ in 0..2 {
            place.run(&["gateway", "add", "--id", "depot-1", "--public-key", &first]);
        }
        let taken = refused(&["gateway", "add", "--id", "depot-1", "--public-key", &second]);
        assert!(taken.contains("depot-1 is already registered"), "{taken}");
        place.run(&[
            "gateway",
            "add-key",
            "--id",
            "depot-1",
            "--public-key",
            &second,
            "--from-epoch",
            "5",
        ]);
        place.run(&[
            "gateway",
            "add",
            "--id",
            "depot-2",
            "--public-key",
            &key(),
            "--organization",
            "north",
        ]);
        place.run(&[
            "gateway",
            "revoke",
            "--id",
            "depot-1",
            "--public-key",
            &first,
        ]);
        place.run(&["gateway", "revoke", "--id", "depot-2"]);
        let list = place.run(&["gateway", "list"]);
        let lines: Vec<Vec<&str>> = list
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["depot-1", "default", "1", "trusted"]);
        assert_eq!(lines[2][..4], ["depot-2", "north", "1", "revoked"]);
        assert_eq!(lines.len(), 3);
        let nobody = refused(&["gateway", "revoke", "--id", "depot-3"]);
        assert!(nobody.contains("no gateway is called depot-3"), "{nobody}");
        let no_key = refused(&[
            "gateway",
            "revoke",
            "--id",
            "depot-1",
            "--public-key",
            &key(),
        ]);
        assert!(no_key.contains("depot-1 has no key"), "{no_key}");
        let config = place.config();
        let listed = run(&["gateway", "list", "--config", config.to_str().unwrap()]);
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), list);
    });
}
