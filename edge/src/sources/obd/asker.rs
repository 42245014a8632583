//! Who asks a command, if it may be asked at all.

use std::time::Duration;

use isotp::{
    Config, Link,
    uds::{Client, Group, Timing},
};
use shared_protocol::catalogue;
use vehicles::profile::Command;

/// Services that only read.
const READING: [u8; 4] = [0x01, 0x09, 0x21, 0x22];
/// Asks one ECU, or all at once.
#[derive(Debug)]
pub(super) enum Asker {
    One(Box<Client>),
    All(Box<Group>),
}

/// Whether among its signals is the vehicle's speed.
pub(super) fn tells_speed(command: &Command) -> bool {
    let speed = |name: &str| {
        let signal = catalogue().by_name(name);
        signal.is_some_and(|signal| signal.column == "speed")
    };
    command
        .signal
        .iter()
        .any(|signal| signal.signal.as_deref().is_some_and(speed))
}

/// Why a command is never asked.
pub(super) fn refusal(command: &Command) -> Option<String> {
    if !READING.contains(&command.service) {
        return Some(format!(
            "service {:02X} is not one that only reads",
            command.service
        ));
    }
    match command.session {
        None | Some(1) => None,
        Some(session) => Some(format!(
            "it needs diagnostic session {session:02X}, which changes the vehicle's state"
        )),
    }
}

/// Whoever asks this command; `late` as in [`super::Poller::new`].
pub(super) fn asker(command: &Command, late: Duration) -> Result<Asker, String> {
    let timing = Timing {
        p2: command.timeout.unwrap_or(Timing::default().p2) + late,
        ..Timing::default()
    };
    if command.is_functional() && command.response.is_none() {
        let group = if command.request.is_extended() {
            Group::obd_29(timing)
        } else {
            Group::obd_11(timing)
        };
        return Ok(Asker::All(Box::new(group)));
    }
    let address = command.address().map_err(|error| error.to_string())?;
    let link = Link::new(Config::new(address).padded(0)).map_err(|error| error.to_string())?;
    Ok(Asker::One(Box::new(Client::new(link, timing))))
}
