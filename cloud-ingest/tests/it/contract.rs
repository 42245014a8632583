//! The API keeps to its own description, as schemathesis reads it: it sends what the document allows and what it forbids.

use std::{path::Path, process::Command, time::Duration};

use platform::testing::{TestDatabase, on_each_database};

use crate::service::{EMBEDDED, Place};

/// What is checked of each answer. That valid data is accepted is not among it: there is not an asset of every number.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
response_headers_conformance,response_schema_conformance,negative_data_rejection,missing_required_header,\
unsupported_method,allow_header_conformance,ignored_auth";

#[test]
fn the_api_is_what_its_document_says() {
    on_each_database(async |database: TestDatabase| {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.patio/venv/bin/schemathesis");
        if !program.exists() {
            eprintln!(
                "skipped: no {} (scripts/python-peers makes it)",
                program.display()
            );
            return;
        }
        let place = Place::new(&database.url, EMBEDDED);
        place.equip("");
        let text = std::fs::read_to_string(place.config()).unwrap();
        let often = "[http]\nrequests_per_second = 100000\nstrangers_per_minute = 100000\n";
        std::fs::write(place.config(), text.replace("[http]\n", often)).unwrap();
        let service = place.serve();
        let examples = if std::env::var_os("PATIO_DEEP").is_some() {
            "200"
        } else {
            "12"
        };
        let mut run = Command::new(program);
        run.args(["run", &format!("{}/openapi.json", service.http)])
            .args([
                "--header",
                &format!("Authorization: Bearer {}", service.key),
            ])
            .args([
                "--checks",
                CHECKS,
                "--max-examples",
                examples,
                "--seed",
                "1",
            ])
            .args([
                "--phases",
                "examples,coverage,fuzzing",
                "--no-color",
                "--no-shrink",
            ])
            // What revokes the key that asks would end the test, and the live stream has no end.
            .args(["--exclude-path-regex", r"^/v1/keys/\{id\}|^/v1/events/live"])
            .current_dir(place.folder.path());
        let output = tokio::task::spawn_blocking(move || run.output().unwrap());
        let output = tokio::time::timeout(Duration::from_mins(5), output)
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let summary = said.lines().rev().find(|line| line.contains("generated"));
        eprintln!("{}", summary.unwrap_or_default());
        service.stop();
    });
}
