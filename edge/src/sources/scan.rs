//! Which identifiers an unknown ECU answers: each is asked once, with a pause, in the default session and only by services
//! that read (21, 22), while the vehicle is awake by itself and its 12 V battery is not weak. A vehicle that falls asleep
//! is waited for.

use std::{collections::BTreeSet, time::Duration};

use isotp::{
    Address, Config, Link,
    uds::{Client, ClientError, ClientOutput, Nrc, Request, Timing},
};
use vehicles::profile::VehicleState;

use super::{
    can::{Bus, BusError, Heard},
    state::Watch,
    vehicle::micros,
};
use crate::clock::Clock;

/// After so many requests in a row without an answer there is no such ECU, or it has gone.
const SILENT: u32 = 20;

/// What is scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The ECU.
    pub address: Address,
    /// 21, whose identifiers have one byte, or 22.
    pub service: u8,
    /// From this identifier on.
    pub first: u16,
    /// To this one.
    pub last: u16,
    /// Only these, where that is known from an earlier scan.
    pub only: Option<BTreeSet<u16>>,
    /// Between an answer and the next request.
    pub pause: Duration,
    /// How long an answer may take.
    pub within: Duration,
}

impl Scan {
    /// What is asked next, from this identifier on.
    fn from(&self, next: u32) -> Option<u16> {
        let next = u16::try_from(next).ok()?;
        let wanted = self.only.as_ref();
        let id = wanted.map_or(Some(next), |only| only.range(next..).next().copied());
        id.filter(|id| *id <= self.last)
    }
}

/// What an ECU says to an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its answer, whole.
    Answer(Vec<u8>),
    /// That it does not.
    Refused(Nrc),
    /// Nothing.
    Nothing,
}

/// Why a scan ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Another service may change something.
    #[error("service {0:02X} is not scanned: 21 and 22 only read")]
    Service(u8),
    /// No such connection.
    #[error(transparent)]
    Config(#[from] isotp::ConfigError),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Nobody is there.
    #[error(
        "{SILENT} requests in a row have no answer: is there an ECU that listens on this identifier?"
    )]
    Silent,
    /// What was found cannot be kept.
    #[error("{0}")]
    Keep(std::io::Error),
}

/// Asks for one identifier after the other, and tells what came of each.
///
/// # Errors
/// When the bus fails, nobody answers, or `keep` fails. What was kept is good: go on after it.
pub async fn scan(
    bus: &mut Bus,
    scan: &Scan,
    clock: &Clock,
    mut keep: impl FnMut(u16, &Said) -> std::io::Result<()>,
) -> Result<(), ScanError> {
    if ![0x21, 0x22].contains(&scan.service) {
        return Err(ScanError::Service(scan.service));
    }
    bus.know(&[elm327::Route::of(&scan.address)]);
    let link = Link::new(Config::new(scan.address).padded(0))?;
    let timing = Timing {
        p2: scan.within,
        ..Timing::default()
    };
    let mut client = Client::new(link, timing);
    let mut watch = Watch::default();
    // Whoever scans a vehicle stands beside it.
    watch.attend(true);
    let (mut next, mut not_before, mut silent) = (u32::from(scan.first), Duration::ZERO, 0);
    let mut asked = None;
    loop {
        let now = micros(clock.now_us());
        while let Some(output) = client.poll(now) {
            let said = match output {
                ClientOutput::Transmit(frame) => {
                    bus.send(&frame).await?;
                    continue;
                }
                ClientOutput::Sent | ClientOutput::Stray(_) => continue,
                ClientOutput::Finished(Ok(answer)) => Said::Answer(answer.payload().to_vec()),
                ClientOutput::Finished(Err(ClientError::Negative(code))) => Said::Refused(code),
                ClientOutput::Finished(Err(_)) => Said::Nothing,
            };
            if let Some(id) = asked.take() {
                silent = if said == Said::Nothing { silent + 1 } else { 0 };
                keep(id, &said).map_err(ScanError::Keep)?;
                next = u32::from(id) + 1;
                not_before = now + scan.pause;
            }
            if silent >= SILENT {
                return Err(ScanError::Silent);
            }
        }
        let awake = watch.state(now) != VehicleState::Asleep;
        if asked.is_none() && client.is_idle() && awake && now >= not_before {
            let Some(id) = scan.from(next) else {
                return Ok(());
            };
            let request = match (scan.service, u8::try_from(id)) {
                (0x21, Ok(id)) => Request::ReadDataByLocalIdentifier { id },
                (0x21, Err(_)) => return Ok(()),
                _ => Request::did(id),
            };
            if client.request(request).is_ok() {
                asked = Some(id);
                continue;
            }
        }
        let soon = now + Duration::from_millis(200);
        let wake = client.next_deadline().unwrap_or(soon).min(soon);
        let wake = if asked.is_none() && awake {
            wake.min(not_before.max(now))
        } else {
            wake
        };
        let heard = tokio::select! {
            heard = bus.hear() => heard?,
            () = tokio::time::sleep_until(clock.instant(wake.as_micros() as i64).into()) => continue,
        };
        match heard {
            Heard::Frame(received) => {
                let now = micros(received.time_us);
                if !client.on_frame(now, &received.frame) && bus.hears_all() {
                    watch.heard(now);
                }
            }
            Heard::Voltage {
                time_us,
                millivolts,
            } => {
                watch.voltage(micros(time_us), millivolts);
            }
        }
    }
}
