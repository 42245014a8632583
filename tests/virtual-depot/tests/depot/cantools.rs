//! The DBC file and the frames as cantools, another decoder, reads them.

use std::{fmt::Write, path::Path, process::Command};

use serde_json::json;

use virtual_depot::{
    Rates,
    bus::{
        broadcast::Broadcast,
        model::{DBC, Model},
    },
    car::{Car, Orders},
    faults::Faults,
};

const SCRIPT: &str = r#"
import cantools, json, sys
db = cantools.database.load_file(sys.argv[1], strict=True)
for line in sys.stdin:
    frame = json.loads(line)
    values = db.decode_message(frame["id"], bytes.fromhex(frame["data"]), decode_choices=False)
    name = db.get_message_by_frame_id(frame["id"]).name
    print(json.dumps({name + "." + key: value for key, value in values.items()}))
"#;

fn hex(data: &[u8]) -> String {
    data.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn cantools_reads_the_same_values() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.patio/venv/bin/python");
    if !python.exists() {
        eprintln!(
            "skipped: no {} (scripts/python-peers makes it)",
            python.display()
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dbc = dir.path().join("virtual-car.dbc");
    std::fs::write(&dbc, DBC).unwrap();

    // A drive and a charge, as frames and as the truth has them.
    let model = Model::shipped().unwrap();
    let faults = Faults::new(1, Rates::default());
    let mut car = Car::new(1, "car-01", 0.7);
    car.start_on_the_road();
    let mut broadcast = Broadcast::new(&model, "car-01", 0, 0);
    let (mut frames, mut input) = (Vec::new(), String::new());
    for tick in 0..1_200 {
        let orders = Orders {
            on_duty: tick < 800,
            ..Orders::default()
        };
        car.step(1.0, orders);
        for sent in broadcast.tick(tick, &model, &car, &faults) {
            let frame = sent.frame.unwrap();
            let data = hex(frame.data());
            let id = frame.id().raw();
            input.extend([
                json!({ "id": id, "data": data }).to_string(),
                "
"
                .to_owned(),
            ]);
            frames.push(sent.samples);
        }
    }
    let frames_file = dir.path().join("frames.jsonl");
    std::fs::write(&frames_file, input).unwrap();
    let output = Command::new(&python)
        .args(["-c", SCRIPT])
        .arg(&dbc)
        .stdin(std::fs::File::open(&frames_file).unwrap())
        .output()
        .unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("No module named 'cantools'") {
        eprintln!("skipped: no cantools in {}", python.display());
        return;
    }
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let profile: vehicles::profile::Profile =
        toml::from_str(virtual_depot::bus::model::PROFILE).unwrap();
    let names: std::collections::HashMap<&str, &str> = profile.dbc[0]
        .signal
        .iter()
        .map(|mapped| {
            (
                mapped.signal.as_deref().unwrap_or(&mapped.name),
                mapped.name.as_str(),
            )
        })
        .collect();
    let decoded = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = decoded.lines().collect();
    assert_eq!(lines.len(), frames.len());
    let mut compared = 0;
    for (line, samples) in lines.iter().zip(&frames) {
        let values: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).unwrap();
        for sample in samples {
            let column = &model.columns[sample.column as usize];
            let name = names[column.signal.as_str()];
            let value = values[name].as_f64().unwrap();
            let expected = sample.raw as f64 * column.step.to_f64();
            assert!(
                (value - expected).abs() < 1e-6 * column.step.to_f64().max(1e-3),
                "{name}: {value} {expected}"
            );
            compared += 1;
        }
    }
    assert!(compared > 10_000, "{compared}");
}
