//! A car behind a dongle: what its lines say is the truth.

use std::time::Duration;

use isotp::{CanId, Config as LinkConfig, Frame, Link, Output};
use shared_protocol::Source;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use vehicles::{diagnostic::Table, profile::Profile};
use virtual_depot::{Config, Depot, Plan, Truth, bus::model::WITH_DONGLE, compare};

use crate::reader::Kept;

/// What the dongle says to a command, line by line.
async fn say(stream: &mut TcpStream, command: &str) -> Vec<String> {
    stream
        .write_all(format!("{command}\r").as_bytes())
        .await
        .unwrap();
    let mut text = Vec::new();
    while text.last() != Some(&b'>') {
        let byte = tokio::time::timeout(Duration::from_secs(30), stream.read_u8());
        text.push(byte.await.expect("a prompt").unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    let lines = text.trim_end_matches('>').split('\r').map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The message of an answer's lines; the dongle has sent flow control itself.
fn message(lines: &[String]) -> Vec<u8> {
    let id: CanId = "7E8".parse().unwrap();
    let mut link = Link::new(LinkConfig::new(isotp::Address::obd_11(0)).padded(0)).unwrap();
    let mut message = Vec::new();
    for (step, line) in (1..).zip(lines) {
        let digits = line.strip_prefix("7E8").unwrap_or_else(|| panic!("{line}"));
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let data: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let now = Duration::from_millis(step);
        link.on_frame(now, &Frame::classic(id, &data).unwrap());
        while let Some(output) = link.poll(now) {
            if let Output::Received { payload, .. } = output {
                message = payload;
            }
        }
    }
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dongle_says_is_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path(), 5, 10, 1);
    config.setup.plan = Plan::Driving;
    let depot = Depot::start(config).await.unwrap();
    let entry = depot.description().cars.last().unwrap().clone();
    let profile: Profile = toml::from_str(WITH_DONGLE.1).unwrap();
    let table = Table::new(profile.command).unwrap();
    let address = entry.interface.strip_prefix("elm327://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(&mut stream, "ATZ").await;
    for command in ["ATE0", "ATS0", "ATH1", "ATSP6", "ATSH7DF", "ATAR"] {
        let said = say(&mut stream, command).await;
        assert_eq!(said.last().map(String::as_str), Some("OK"), "{command}");
    }
    assert!(say(&mut stream, "ATRV").await[0].ends_with('V'));
    let kept = Kept::default();
    for _ in 0..3 {
        for (number, command) in table.commands().iter().enumerate() {
            let request = format!("{:02X}{}", command.service, command.identifier);
            let answer = message(&say(&mut stream, &request).await);
            let mut readings = Vec::new();
            table.decode(number, &answer, &mut readings).unwrap();
            assert_eq!(readings.len(), 1, "{}", command.name);
            for reading in readings {
                let def = &table.signals()[reading.signal as usize].def;
                kept.keep(&entry.asset, Source::Obd, def, reading.raw);
            }
        }
    }
    assert_eq!(say(&mut stream, "0150").await, ["NO DATA"]);
    // More than a frame: the VIN.
    let vin = message(&say(&mut stream, "0902").await);
    assert_eq!(vin[3..], *entry.vin.as_bytes());
    depot.pause().await;
    let path = depot.description().truth.clone();
    depot.stop().await.unwrap();
    let report = compare(&Truth::read(&path).unwrap(), &kept.stored());
    assert!(report.is_exact(), "{report}");
    assert_eq!(report.total.produced, 3 * table.commands().len() as u64);
}
