//! `edge learn scan`: what an ECU answers, in a file that can be gone on with.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use edge::{
    clock::Clock,
    sources::{
        can::Bus,
        scan::{Said, Scan, ScanError, scan},
    },
};
use isotp::{Address, CanId};
use vehicles::profile::Command;

use super::Failure;

/// The connection to an ECU, by the identifiers alone.
pub(super) fn address(request: CanId, response: Option<CanId>) -> Result<Address, Failure> {
    let response = response.or_else(|| Command::response_to(request));
    let response = response.ok_or_else(|| {
        Failure::input(format!(
            "which identifier answers to {request} does not follow from ISO 15765-4: give --response"
        ))
    })?;
    Ok(Address::normal(request, response))
}

/// The identifier after the last one in the file; what a power cut left of a line is asked again.
fn after(text: &str) -> Option<u16> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let last = whole.lines().rev().find_map(|line| {
        let request = line.split(' ').next()?;
        u16::from_str_radix(request.get(2..)?, 16).ok()
    })?;
    Some(last.saturating_add(1))
}

pub(super) fn run(interface: &str, mut what: Scan, out: &Path) -> Result<(), Failure> {
    let interface = interface.parse().map_err(Failure::input)?;
    let failed = |error: std::io::Error| Failure::input(format!("{}: {error}", out.display()));
    let before = match fs::read_to_string(out) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    if let Some(next) = after(&before) {
        what.first = what.first.max(next);
        if next == u16::MAX && before.contains("FFFF ") {
            println!("all of it is in {}", out.display());
            return Ok(());
        }
    }
    let file = fs::OpenOptions::new().append(true).create(true).open(out);
    let mut file = file.map_err(failed)?;
    if !before.is_empty() && !before.ends_with('\n') {
        file.write_all(b"\n").map_err(failed)?;
    }
    let clock = Arc::new(Clock::start().map_err(Failure::running)?);
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::running)?;
    let (mut asked, mut answered) = (0u32, 0u32);
    let service = what.service;
    let scanned = runtime.block_on(async {
        let mut bus = Bus::open(&interface, clock.clone()).await?;
        let keep = |id: u16, said: &Said| {
            asked += 1;
            let request = if service == 0x21 {
                format!("{service:02X}{id:02X}")
            } else {
                format!("{service:02X}{id:04X}")
            };
            let answer = match said {
                Said::Answer(payload) => {
                    answered += 1;
                    hex::encode_upper(payload)
                }
                Said::Refused(code) => format!("7F{service:02X}{:02X}", code.code()),
                Said::Nothing => "-".to_owned(),
            };
            // One write: a line is in the file whole, or hardly begun.
            file.write_all(format!("{request} {answer}\n").as_bytes())
        };
        tokio::select! {
            done = scan(&mut bus, &what, &clock, keep) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    println!("{asked} asked, {answered} answered, in {}", out.display());
    scanned.map_err(|error| match error {
        ScanError::Service(_) => Failure::input(error),
        error => Failure::running(error),
    })
}
