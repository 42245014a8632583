//! Recorded buses of a real car, from the bus to the database: every value that an independent decoder (cantools, PyPI)
//! finds in a recording is in the database, at its instant, and nothing else is.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use end_to_end::{
    check,
    house::{House, Options, Replay},
};
use serde_json::Value;
use vehicles::log::LogReader;

use crate::{databases, root};

/// Per signal: instants in microseconds since the first value of all, and values, in their order.
type Values = BTreeMap<String, Vec<(i64, f64)>>;

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == ending)
        })
        .collect();
    found.sort();
    found
}

/// What cantools finds, with the recording's own instants.
fn by_cantools(python: &Path, dbc: &Path, log: &Path) -> Values {
    let script = root().join("edge/vehicles/tests/real_data/cantools_decode.py");
    let output = Command::new(python)
        .arg(script)
        .arg(dbc)
        .arg(log)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let names = message_names(dbc);
    let mut values = Values::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let result: Value = serde_json::from_str(line).unwrap();
        let number = usize::try_from(result["line"].as_u64().unwrap()).unwrap();
        let frame = LogReader::new([lines[number - 1]].into_iter())
            .next()
            .unwrap()
            .unwrap();
        let message = &names[&(
            result["id"].as_u64().unwrap(),
            result["extended"].as_bool().unwrap(),
        )];
        for (signal, value) in result["signals"].as_object().into_iter().flatten() {
            let value = value.as_f64().unwrap();
            values
                .entry(format!("{message}.{signal}"))
                .or_default()
                .push((frame.time_us.cast_signed(), value));
        }
    }
    since_first(values)
}

/// Names of messages by identifier, straight from the lines of the DBC file.
fn message_names(dbc: &Path) -> BTreeMap<(u64, bool), String> {
    let bytes = std::fs::read(dbc).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let message = |line: &str| {
        let mut words = line.trim().strip_prefix("BO_ ")?.split_whitespace();
        let id: u64 = words.next()?.parse().ok()?;
        let name = words.next()?.trim_end_matches(':').to_owned();
        Some(((id & 0x1fff_ffff, id & 0x8000_0000 != 0), name))
    };
    text.lines().filter_map(message).collect()
}

fn since_first(mut values: Values) -> Values {
    let first = values
        .values()
        .flatten()
        .map(|(time, _)| *time)
        .min()
        .unwrap_or(0);
    for list in values.values_mut() {
        for (time, _) in list.iter_mut() {
            *time -= first;
        }
        list.sort_by(|a, b| a.partial_cmp(b).unwrap());
    }
    values
}

/// The same instants, and the same values but for the last bits: cantools and the database multiply in another order.
fn agrees(expected: &[(i64, f64)], stored: Option<&Vec<(i64, f64)>>) -> bool {
    stored.is_some_and(|stored| {
        expected.len() == stored.len() && expected.iter().zip(stored).all(|(a, b)| same(*a, *b))
    })
}

fn same(a: (i64, f64), b: (i64, f64)) -> bool {
    a.0 == b.0 && (a.1 - b.1).abs() <= 1e-12 * a.1.abs().max(b.1.abs())
}

async fn in_database(url: &str) -> Values {
    let client = check::connect(url).await.unwrap();
    let rows = client
        .query(
            "SELECT name, (extract(epoch FROM time) * 1000000)::bigint, value FROM telemetry.extra_reading
             WHERE source <> $1",
            // Not what the gateway says of itself.
            &[&shared_protocol::Source::Gateway.number()],
        )
        .await
        .unwrap();
    let mut values = Values::new();
    for row in rows {
        values
            .entry(row.get(0))
            .or_default()
            .push((row.get(1), row.get(2)));
    }
    since_first(values)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_data_kona_from_bus_to_database() {
    let data = std::env::var_os("PATIO_DATA")
        .map_or_else(|| root().join("../shared/data"), PathBuf::from)
        .join("kona");
    if !data.is_dir() {
        eprintln!("skipped: no {}", data.display());
        return;
    }
    let python = root().join(".patio/venv/bin/python");
    if !Command::new(&python)
        .args(["-c", "import cantools"])
        .output()
        .is_ok_and(|probe| probe.status.success())
    {
        eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
        return;
    }
    let (mut agree, mut total) = (0, 0);
    for (flavour, url) in databases() {
        for log in files(&data, "csv") {
            for dbc in files(&data, "dbc") {
                let expected = by_cantools(&python, &dbc, &log);
                if expected.is_empty() {
                    println!(
                        "{flavour}: {} knows no frame of {}",
                        dbc.display(),
                        log.display()
                    );
                    continue;
                }
                let folder = tempfile::tempdir().unwrap();
                let database_url = check::fresh_database(&url, "patio_kona").await.unwrap();
                let options = Options {
                    folder: folder.path().to_owned(),
                    database_url: database_url.clone(),
                    cars: 0,
                    chargers: 0,
                    seed: 1,
                    speed: 1.0,
                    replay: Some(Replay {
                        log: log.clone(),
                        dbcs: vec![(dbc.clone(), None)],
                        speed: 1000.0,
                    }),
                };
                let mut house = House::set_up(options).await.unwrap();
                house.start_cloud().await.unwrap();
                house.play(Duration::from_secs(120)).await.unwrap();
                house.stop_cloud().await.unwrap();
                assert_eq!(
                    check::ledger(&house.path("buffer")).unwrap().waiting,
                    0,
                    "not all is acknowledged"
                );
                let stored = in_database(&database_url).await;
                let values: usize = expected.values().map(Vec::len).sum();
                let agreed = expected
                    .iter()
                    .filter(|(name, list)| agrees(list, stored.get(*name)))
                    .map(|(_, list)| list.len())
                    .sum::<usize>();
                let foreign: Vec<_> = stored
                    .keys()
                    .filter(|name| !expected.contains_key(*name))
                    .collect();
                println!(
                    "{flavour}: {} by {}: {agreed} of {values} values of {} signals agree",
                    log.display(),
                    dbc.display(),
                    expected.len()
                );
                for (name, list) in expected
                    .iter()
                    .filter(|(name, list)| !agrees(list, stored.get(*name)))
                    .take(3)
                {
                    let empty = Vec::new();
                    let there = stored.get(name).unwrap_or(&empty);
                    let differs = list.iter().zip(there).find(|(a, b)| !same(**a, **b));
                    println!(
                        "  {name}: {} expected, {} stored, first difference {differs:?}",
                        list.len(),
                        there.len()
                    );
                }
                assert!(
                    foreign.is_empty(),
                    "signals that cantools does not find: {foreign:?}"
                );
                agree += agreed;
                total += values;
            }
        }
    }
    if databases().is_empty() {
        return;
    }
    println!("values from bus to database: {agree} of {total} agree");
    assert!(agree == total && total > 0, "{agree} of {total} agree");
}
