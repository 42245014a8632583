//! The ECUs of a car: they answer OBD and UDS requests over ISO-TP from what the car knows at that moment.

use std::{collections::VecDeque, time::Duration};

use isotp::{
    Address, Config, ConfigError, Frame, FunctionalAddress, Link, Output,
    responder::Responder,
    uds::{Dtc, DtcRecord, DtcStatus, Nrc, VIN_DID, Vin, VinError},
};

use super::model::{EcuModel, Table};
use crate::{
    car::Car,
    chance::Chance,
    faults::{Fault, Faults},
    truth::Sample,
};

/// The identifier that takes its time, and how often it does.
const SLOW: (&[u8], f64) = (&[0x01, 0x05], 0.25);

/// How much time it takes then, after it has said so.
const SLOWNESS: Duration = Duration::from_millis(120);

/// How long a prompt answer takes.
const PROMPTNESS: Duration = Duration::from_millis(3);

/// So many answers may wait; requests that come then are not heard.
const MAX_REPLIES: usize = 16;

/// Why an ECU cannot be made from its table.
#[derive(Debug, thiserror::Error)]
pub enum EcuError {
    /// No address.
    #[error("{0}")]
    Address(#[from] vehicles::profile::RequestError),
    /// An impossible connection.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The car's VIN is none.
    #[error("{0}")]
    Vin(#[from] VinError),
}

/// An answer on its way, and what a reader gets by it.
#[derive(Debug)]
struct Reply {
    at: Duration,
    payload: Vec<u8>,
    samples: Vec<Sample>,
}

/// What an ECU does.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It sends a frame, and with it a reader has got these values.
    Frame {
        /// The frame.
        frame: Frame,
        /// What it completes.
        samples: Vec<Sample>,
    },
    /// It keeps these values from the reader.
    Withheld {
        /// Why.
        fault: Fault,
        /// What.
        samples: Vec<Sample>,
    },
}

/// An ECU on a bus. Without I/O and without a clock: after [`on_frame`](Self::on_frame) and at
/// [`next_deadline`](Self::next_deadline), [`poll`](Self::poll) until there is nothing more.
#[derive(Debug)]
pub struct Ecu {
    asset: String,
    tables: Vec<Table>,
    link: Link,
    responder: Responder,
    replies: VecDeque<Reply>,
    /// What a reader gets by the message being sent.
    sending: Vec<Sample>,
    first_column: u32,
    chance: Chance,
}

impl Ecu {
    /// The ECU of a car whose columns begin at `first_column`.
    pub fn new(
        model: &EcuModel,
        asset: &str,
        vin: &str,
        first_column: u32,
        seed: u64,
    ) -> Result<Self, EcuError> {
        let first = &model.first;
        let mut address = match (first.is_functional(), first.request.is_extended()) {
            // Whoever asks all of them is answered by one.
            (true, true) => Address::obd_29(0x10),
            (true, false) => Address::obd_11(0),
            (false, _) => first.address()?,
        }
        .mirrored();
        // Only an ECU with emission-related data listens to requests for all.
        if model.tables.iter().any(|table| table.service == 0x01) {
            address = address.with_functional(if model.first.request.is_extended() {
                FunctionalAddress::OBD_29
            } else {
                FunctionalAddress::OBD_11
            });
        }
        let name = format!("{asset}/{}", model.first.request);
        Ok(Self {
            asset: asset.to_owned(),
            tables: model.tables.clone(),
            link: Link::new(Config::new(address).padded(0xAA))?,
            responder: Responder::with_vin(vin.parse::<Vin>()?),
            replies: VecDeque::new(),
            sending: Vec::new(),
            first_column,
            chance: Chance::new(seed, &name),
        })
    }

    /// Takes a frame from the bus.
    pub fn on_frame(&mut self, now: Duration, frame: &Frame) {
        self.link.on_frame(now, frame);
    }

    /// The next thing that it does.
    pub fn poll(&mut self, now: Duration, car: &Car, faults: &Faults) -> Option<Said> {
        loop {
            if self.replies.front().is_some_and(|reply| now >= reply.at)
                && !self.link.is_sending()
                && let Some(reply) = self.replies.pop_front()
                && self.link.send(now, reply.payload).is_ok()
            {
                self.sending = reply.samples;
            }
            match self.link.poll(now)? {
                Output::Transmit(frame) => {
                    // After the last frame of a message nothing of it is being sent any more.
                    let samples = if self.link.is_sending() {
                        Vec::new()
                    } else {
                        std::mem::take(&mut self.sending)
                    };
                    return Some(Said::Frame { frame, samples });
                }
                Output::SendFailed(_) => self.sending.clear(),
                Output::Received {
                    payload,
                    functional,
                    ..
                } => {
                    let withheld = self.answer(now, &payload, functional, car, faults);
                    if withheld.is_some() {
                        return withheld;
                    }
                }
                Output::Sent
                | Output::ReceptionStarted { .. }
                | Output::ReceiveFailed { .. }
                | Output::Ignored(_) => {}
            }
        }
    }

    /// When to poll again if nothing happens before.
    pub fn next_deadline(&self) -> Option<Duration> {
        let reply = self.replies.front().map(|reply| reply.at);
        let reply = reply.filter(|_| !self.link.is_sending());
        [reply, self.link.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Stores a trouble code, confirmed and failing now, with what it keeps of that moment.
    pub fn store(&mut self, dtc: Dtc) {
        let record = DtcRecord {
            dtc,
            status: DtcStatus(0x09),
        };
        if self.responder.dtcs.iter().all(|known| known.dtc != dtc) {
            self.responder.dtcs.push(record);
        }
        // Record 1 has one identifier, F190: the VIN. Record 1 of extended data: it occurred once.
        let vin = self.responder.data.get(&VIN_DID).cloned();
        let snapshot = [vec![1, 1, 0xF1, 0x90], vin.unwrap_or_default()].concat();
        self.responder.snapshots.insert(dtc, snapshot);
        self.responder.extended_data.insert(dtc, vec![1, 1]);
    }

    /// The trouble codes that it has.
    pub fn codes(&self) -> impl Iterator<Item = Dtc> {
        self.responder.dtcs.iter().map(|record| record.dtc)
    }

    /// Forgets all that is on its way: the tester is gone, or the ECU asleep.
    pub fn abort(&mut self) {
        self.link.abort();
        self.replies.clear();
        self.sending.clear();
    }

    fn answer(
        &mut self,
        now: Duration,
        request: &[u8],
        functional: bool,
        car: &Car,
        faults: &Faults,
    ) -> Option<Said> {
        if self.replies.len() >= MAX_REPLIES {
            return None;
        }
        self.know(car);
        let payload = self.responder.respond(request, functional).pop()?.payload;
        let samples = self.samples(&payload);
        if !samples.is_empty() && faults.strikes(&self.asset, Fault::EcuSilent, 1.0) {
            let fault = Fault::EcuSilent;
            return Some(Said::Withheld { fault, samples });
        }
        let service = request.first().copied().unwrap_or(0);
        if !samples.is_empty() && faults.strikes(&self.asset, Fault::EcuNegative, 1.0) {
            let fault = Fault::EcuNegative;
            self.reply(now + PROMPTNESS, vec![0x7F, service, 0x22], Vec::new());
            return Some(Said::Withheld { fault, samples });
        }
        if request.get(1..) == Some(SLOW.0) && self.chance.happens(SLOW.1) {
            let pending = vec![0x7F, service, Nrc::ResponsePending.code()];
            self.reply(now + PROMPTNESS, pending, Vec::new());
            self.reply(now + SLOWNESS, payload, samples);
        } else {
            self.reply(now + PROMPTNESS, payload, samples);
        }
        None
    }

    fn reply(&mut self, at: Duration, payload: Vec<u8>, samples: Vec<Sample>) {
        self.replies.push_back(Reply {
            at,
            payload,
            samples,
        });
    }

    /// Fills the responder's tables with what the car knows now.
    fn know(&mut self, car: &Car) {
        for table in &self.tables {
            let mut data = vec![0; table.length];
            for field in &table.fields {
                field.put(field.raw(car, 0, 0), &mut data);
            }
            match table.identifier[..] {
                [pid] => self.responder.current.insert(pid, data),
                [high, low] => self
                    .responder
                    .data
                    .insert(u16::from_be_bytes([high, low]), data),
                _ => None,
            };
        }
    }

    /// What a reader gets by a positive answer, read back from its bytes.
    fn samples(&self, payload: &[u8]) -> Vec<Sample> {
        let Some((&service, mut rest)) = payload.split_first() else {
            return Vec::new();
        };
        let mut samples = Vec::new();
        // An answer may carry several identifiers, each with its data.
        while let Some((table, data, after)) = self.tables.iter().find_map(|table| {
            let data = rest.strip_prefix(&table.identifier[..])?;
            let fits = table.service + 0x40 == service && data.len() >= table.length;
            fits.then(|| (table, &data[..table.length], &data[table.length..]))
        }) {
            for field in &table.fields {
                if let (Some(column), Some(raw)) = (field.column, field.in_steps(field.take(data)))
                {
                    let column = self.first_column + column as u32;
                    samples.push(Sample { column, raw });
                }
            }
            rest = after;
        }
        samples
    }
}

#[cfg(test)]
mod tests;
