//! The answers of recorded cars, through a client.

use std::time::Duration;

use isotp::uds::{Client, ClientError, ClientOutput, Request, Timing};
use isotp::{Address, CanId, Config, Frame, Link};
use serde_json::Value;

use crate::data;
use crate::oracle::look_ahead;

/// `7E4.7EC.220101|fc=1`: where the request goes, where the answer comes from, the request.
fn command(text: &str) -> Option<(CanId, CanId, Vec<u8>)> {
    let mut parts = text.split('|').next()?.split('.');
    let (tx, rx, request) = (parts.next()?, parts.next()?, parts.next()?);
    Some((
        tx.parse().ok()?,
        rx.parse().ok()?,
        hex::decode(request).ok()?,
    ))
}

/// Three digits of identifier, or eight, then the data.
fn elm_line(text: &str, extended: bool) -> Option<Frame> {
    let (id, data) = text.split_at_checked(if extended { 8 } else { 3 })?;
    Frame::classic(id.parse().ok()?, &hex::decode(data).ok()?).ok()
}

/// Asks a recorded car: the client takes the message that looking ahead over the capture finds, or says that it
/// broke off. Lines of a capture that are no frames are lost frames.
fn ask(capture: &Value, lines: &str) -> Result<bool, String> {
    let text = capture["cmd"].as_str().unwrap();
    let (tx, rx, bytes) = command(text).ok_or(format!("{text}: no command"))?;
    let lines = capture[lines].as_array().unwrap().iter();
    let frames = lines.filter_map(|line| elm_line(line.as_str().unwrap(), rx.is_extended()));
    let frames: Vec<_> = (1..)
        .map(Duration::from_millis)
        .zip(frames.filter(|frame| frame.id() == rx))
        .collect();

    let request = Request::decode(&bytes).map_err(|code| format!("{text}: {code}"))?;
    let link = Link::new(Config::new(Address::normal(tx, rx))).unwrap();
    let mut client = Client::new(link, Timing::default());
    client.request(request).unwrap();
    let mut finished = Vec::new();
    let mut drain = |client: &mut Client, now| {
        while let Some(output) = client.poll(now) {
            if let ClientOutput::Finished(result) = output {
                finished.push(result.map(|answer| answer.payload().to_vec()));
            }
        }
    };
    drain(&mut client, Duration::ZERO);
    for (at, frame) in &frames {
        client.on_frame(*at, frame);
        drain(&mut client, *at);
    }
    drain(&mut client, Duration::from_mins(1));

    let frames: Vec<_> = frames
        .iter()
        .map(|(at, frame)| (*at, frame.data().to_vec()))
        .collect();
    let expected = look_ahead(&frames)
        .0
        .into_iter()
        .next()
        .map(|(_, result)| result);
    match (&finished[..], &expected) {
        ([Ok(found)], Some(Ok(payload))) if found == payload => Ok(true),
        ([Err(ClientError::Receive(_))], Some(Err(_))) | ([Err(ClientError::Timeout)], None) => {
            Ok(false)
        }
        _ => Err(format!("{text}: {finished:02x?}, not {expected:02x?}")),
    }
}

/// The answers of recorded cars, captures damaged on the way among them, through a client that asks the recorded
/// question.
#[test]
fn real_data_isotp_recorded_answers() {
    for (file, lines) in [
        ("obdb/vectors.jsonl", "frames"),
        ("obdb/damaged.jsonl", "lines"),
    ] {
        let Some(path) = data::path(file) else {
            continue;
        };
        let asked: Vec<_> = data::json_lines(&path)
            .iter()
            .map(|capture| ask(capture, lines))
            .collect();
        let broken = asked.iter().filter(|result| **result == Ok(false)).count();
        println!("{file}: {broken} captures are broken off and give no value");
        let results: Vec<_> = asked.into_iter().map(|result| result.map(|_| ())).collect();
        data::report("answers", &results);
    }
}
