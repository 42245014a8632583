//! Damaged recordings of adapters, said again by an adapter to the gateway's own dialogue with it.

use std::time::Duration;

use elm327::{Adapter, Config, Event, Output, Route};
use isotp::{
    Config as LinkConfig, Link,
    uds::{Answer, Client, ClientOutput, Request, Timing},
};
use serde_json::{Map, Value, json};
use vehicles::{offline::Definition, profile::Command};

use crate::{
    data,
    obdb::{Sets, compare},
};

/// What the client makes of an adapter that answers the request with these lines, whatever happens to them.
fn ask(command: &Command, lines: &[String]) -> Option<Answer> {
    let address = command.address().unwrap();
    let link = Link::new(LinkConfig::new(address).padded(0)).unwrap();
    let timing = Timing {
        p2: Duration::from_secs(5),
        ..Timing::default()
    };
    let mut client = Client::new(link, timing);
    let mut adapter = Adapter::new(Config {
        voltage_every: None,
        ..Config::default()
    });
    adapter.know([Route::of(&address)]);
    let request = Request::decode(&command.payload()).unwrap();
    let mut request = Some(request);
    for step in 0..1_000 {
        let now = Duration::from_millis(step * 10);
        while let Some(output) = adapter.poll(now) {
            match output {
                Output::Write(bytes) => {
                    let text = String::from_utf8(bytes).unwrap();
                    let said = match text.trim() {
                        "ATZ" | "ATI" => "ELM327 v1.5".to_owned(),
                        text if text.starts_with("AT") => "OK".to_owned(),
                        _ => lines.join("\r"),
                    };
                    adapter.on_bytes(now, format!("{said}\r\r>").as_bytes());
                }
                Output::Frame(frame) => {
                    client.on_frame(now, &frame);
                }
                Output::Event(Event::Ready(_)) => {
                    if let Some(request) = request.take() {
                        client.request(request).unwrap();
                    }
                }
                Output::Event(_) | Output::Voltage(_) => {}
                Output::Dead => return None,
            }
        }
        while let Some(output) = client.poll(now) {
            match output {
                // An adapter that is busy or has lost its settings leaves a request out.
                ClientOutput::Transmit(frame) => {
                    let _ = adapter.send(frame);
                }
                ClientOutput::Finished(result) => return result.ok(),
                ClientOutput::Sent | ClientOutput::Stray(_) => {}
            }
        }
    }
    None
}

fn values(definition: &Definition, command: usize, answer: &Answer) -> Value {
    let mut readings = Vec::new();
    // An answer that cannot be decoded has no values.
    let _ = definition
        .table
        .decode(command, answer.payload(), &mut readings);
    let mut values = Map::new();
    for reading in readings {
        let signal = &definition.table.signals()[reading.signal as usize];
        let value = match signal.texts.get(&reading.raw) {
            Some(text) => json!(text),
            None => json!(signal.def.encoding.value(reading.raw)),
        };
        values.insert(signal.name.clone(), value);
    }
    json!({ "values": values })
}

#[test]
fn real_data_obdb_damaged_through_an_adapter() {
    let Some(folder) = data::folder("obdb") else {
        return;
    };
    let sets = Sets::new(&folder);
    let (mut agree, mut through, mut recovered, mut expected) = (0, 0, 0, 0);
    let mut failures = Vec::new();
    for case in data::files(&folder, "jsonl")
        .iter()
        .flat_map(|path| data::json_lines(path))
    {
        // Whole answers show that whatever is left of damaged ones would come through.
        let whole = case["frames"].as_array();
        let Some(lines) = case["lines"].as_array().or(whole) else {
            continue;
        };
        let year = case["year"].as_str().and_then(|year| year.parse().ok());
        let name = case["cmd"].as_str().unwrap_or_default();
        let known = sets.of(&case).and_then(|definition| {
            let command = definition.command(name, year)?;
            Some((definition, command))
        });
        let Some((definition, number)) = known else {
            failures.push(format!("no signal set for {} {name}", case["car"]));
            continue;
        };
        let lines: Vec<String> = lines
            .iter()
            .map(|line| line.as_str().unwrap_or_default().to_owned())
            .collect();
        let answer = ask(&definition.table.commands()[number], &lines);
        let found = answer.map_or_else(
            || json!({ "values": {} }),
            |answer| values(definition, number, &answer),
        );
        let (wrong, missing, right) = compare(&case["expected"], &found);
        if whole.is_some() {
            through += right;
        } else {
            recovered += right;
            expected += right + missing + wrong.len();
        }
        if wrong.is_empty() {
            agree += 1;
        } else {
            failures.push(format!("{name} {lines:?}: {}", wrong.join("; ")));
        }
    }
    println!("{through} values of whole answers, {recovered} of {expected} of damaged ones");
    data::conclude(
        "recordings through an adapter without a wrong value",
        agree,
        &failures,
    );
    assert!(agree == 0 || through > 0, "no whole answer came through");
}
