//! Several identifiers in one request: up to six PIDs of service 01 (SAE J1979), several DIDs of service 22 where the profile
//! says how long their answers are (`answer_length`). A request is one frame, for adapters send no longer ones. Pure.

use std::time::Duration;

use isotp::uds::{Answer, Request, pid_length};
use vehicles::profile::Command;

/// What is due so soon is asked with what is due now.
pub(super) const SOON: Duration = Duration::from_millis(500);
/// Bytes of a single frame (ISO 15765-2 §9.6.2).
const SINGLE: usize = 7;
/// PIDs of a request (SAE J1979).
const PIDS: usize = 6;

/// How many identifiers like this one a request has room for.
pub(super) fn most(command: &Command) -> usize {
    let extension = usize::from(command.request_extension.is_some());
    let room = SINGLE - extension - 1;
    match command.service {
        0x01 => room.min(PIDS),
        0x22 => room / 2,
        _ => 1,
    }
}

/// Whether it may be asked in one request with others: an answer with its identifier can be taken apart.
pub(super) fn takes(command: &Command) -> bool {
    match (command.service, command.identifier.0.as_slice()) {
        // A bitmap of supported PIDs does not mix with others.
        (0x01, &[pid]) => !pid.is_multiple_of(0x20) && pid_length(pid).is_some(),
        (0x22, &[_, _]) => command.answer_length.is_some(),
        _ => false,
    }
}

/// The request for all of these, which are of one ECU and one service.
pub(super) fn request(commands: &[&Command]) -> Result<Request, String> {
    let mut bytes = vec![commands.first().map_or(0, |command| command.service)];
    for command in commands {
        bytes.extend(&command.identifier.0);
    }
    Request::decode(&bytes).map_err(|nrc| nrc.to_string())
}

/// The answer to each of them, by its place, as if it had been asked alone.
pub(super) fn parts(
    commands: &[&Command],
    answer: &Answer,
) -> Result<Vec<(usize, Vec<u8>)>, String> {
    if commands.len() == 1 {
        return Ok(vec![(0, answer.payload().to_vec())]);
    }
    let values: Vec<(Vec<u8>, &[u8])> = match answer.request() {
        Request::CurrentData { .. } => {
            let pids = answer.pids().map_err(|error| error.to_string())?;
            pids.into_iter()
                .map(|(pid, value)| (vec![pid], value))
                .collect()
        }
        _ => {
            let length = |command: &&Command| {
                let id = command.identifier.0.as_slice().try_into().ok()?;
                Some((u16::from_be_bytes(id), usize::from(command.answer_length?)))
            };
            let lengths: Vec<_> = commands.iter().filter_map(length).collect();
            let values = answer
                .data_identifiers(&lengths)
                .map_err(|error| error.to_string())?;
            let values = values.into_iter();
            values
                .map(|(id, value)| (id.to_be_bytes().to_vec(), value))
                .collect()
        }
    };
    let alone = |(identifier, value): (Vec<u8>, &[u8])| {
        let place = commands
            .iter()
            .position(|one| one.identifier.0 == identifier)?;
        let service = commands[place].service.wrapping_add(0x40);
        Some((place, [&[service], identifier.as_slice(), value].concat()))
    };
    Ok(values.into_iter().filter_map(alone).collect())
}
