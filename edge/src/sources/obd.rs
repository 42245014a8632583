//! Asks the ECUs of one vehicle by its profile. Sans I/O: frames and the time go in, frames and readings come out.
//!
//! Only services that read are asked (01, 03, 07, 09, 0A, 19, 21, 22), only in the default session, one request at a time
//! on the bus with a pause for each ECU, and only as often as the profile says for what the vehicle is doing. Besides the
//! profile's, every vehicle is asked for its VIN and its trouble codes (`duty.rs`).

use std::{collections::HashMap, time::Duration};

use super::duty::{Duties, Duty, News};
use elm327::Route;
use isotp::{
    CanId, Config, Frame, Link,
    uds::{Answer, Client, ClientOutput, Group, GroupOutput, Request, Timing},
};
use vehicles::{
    Reading,
    diagnostic::Table,
    profile::{Command, VehicleState},
};

/// Services that only read.
const READING: [u8; 4] = [0x01, 0x09, 0x21, 0x22];
/// Between two requests on the bus.
const GAP: Duration = Duration::from_millis(20);
/// Between two requests to one ECU, which has other things to do.
const GAP_ECU: Duration = Duration::from_millis(50);
/// After a request failed it is not asked again for so long, doubling up to the most.
const FAILED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Asks one ECU, or all at once.
#[derive(Debug)]
enum Asker {
    One(Box<Client>),
    All(Box<Group>),
}

#[derive(Debug)]
struct Schedule {
    asker: usize,
    last: Option<Duration>,
    not_before: Duration,
    failures: u32,
}

/// What the poller wants done, or has to tell.
#[derive(Debug)]
pub(super) enum Output {
    /// Send this frame.
    Transmit(Frame),
    /// Readings, numbered by [`Table::signals`].
    Readings(Vec<Reading>),
    /// What it is, and what is wrong with it.
    News(News),
    /// A request has no usable answer.
    Failed {
        /// Name of the command.
        command: String,
        /// Why.
        why: String,
    },
}

/// The poller of one vehicle.
#[derive(Debug)]
pub(super) struct Poller {
    table: Table,
    askers: Vec<Asker>,
    schedule: Vec<Option<Schedule>>,
    duties: Duties,
    /// What is under way.
    open: Option<Open>,
    answered: bool,
    next_request: Duration,
    /// Until when each asker's ECU is left in peace.
    peace: Vec<Duration>,
}

/// What was asked.
#[derive(Clone, Debug)]
enum Open {
    Command(usize),
    Duty(Duty),
}

impl Poller {
    /// A poller for these commands; the second value tells which are never asked, and why.
    pub(super) fn new(table: Table) -> (Self, Vec<String>) {
        let mut left_out = Vec::new();
        let mut askers = Vec::new();
        let mut known = HashMap::new();
        let mut schedule = Vec::new();
        for command in table.commands() {
            let key = (
                command.request,
                command.response,
                command.request_extension,
                command.response_extension,
            );
            let asker = match (refusal(command), known.get(&key)) {
                (Some(why), _) => Err(why),
                (None, Some(&asker)) => Ok(asker),
                (None, None) => asker(command).map(|asker| {
                    askers.push(asker);
                    known.insert(key, askers.len() - 1);
                    askers.len() - 1
                }),
            };
            schedule.push(match asker {
                Ok(asker) => Some(Schedule {
                    asker,
                    last: None,
                    not_before: Duration::ZERO,
                    failures: 0,
                }),
                Err(why) => {
                    left_out.push(format!("`{}` is not asked: {why}", command.name));
                    None
                }
            });
        }
        let ecus = askers
            .iter()
            .enumerate()
            .filter_map(|(index, asker)| match asker {
                Asker::One(client) => Some((index, client.link().config().address.rx_id())),
                Asker::All(_) => None,
            });
        let ecus: Vec<_> = ecus.collect();
        let all = askers
            .iter()
            .position(|asker| matches!(asker, Asker::All(_)));
        let all = all.unwrap_or_else(|| {
            let extended = !ecus.is_empty() && ecus.iter().all(|(_, id)| id.is_extended());
            let group = if extended {
                Group::obd_29(Timing::default())
            } else {
                Group::obd_11(Timing::default())
            };
            askers.push(Asker::All(Box::new(group)));
            askers.len() - 1
        });
        (
            Self {
                duties: Duties::new(all, ecus),
                peace: vec![Duration::ZERO; askers.len()],
                table,
                askers,
                schedule,
                open: None,
                answered: false,
                next_request: Duration::ZERO,
            },
            left_out,
        )
    }

    /// The commands and their signals.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The connections it asks on.
    pub(super) fn routes(&self) -> Vec<Route> {
        let one = |asker: &Asker| match asker {
            Asker::One(client) => Some(Route::of(&client.link().config().address)),
            Asker::All(_) => None,
        };
        self.askers.iter().filter_map(one).collect()
    }

    /// It woke up, or the bus is a new one: it may be another vehicle.
    pub(super) fn woke(&mut self) {
        self.duties.woke();
    }

    /// Nothing but the VIN is asked until it is known.
    pub(super) fn identify_first(&mut self) {
        self.duties.identify_first();
    }

    /// Takes a frame; tells whether it was addressed to us.
    pub(super) fn on_frame(&mut self, now: Duration, frame: &Frame) -> bool {
        let mut ours = false;
        for asker in &mut self.askers {
            ours |= match asker {
                Asker::One(client) => client.on_frame(now, frame),
                Asker::All(group) => group.on_frame(now, frame),
            };
        }
        ours
    }

    /// The next thing to do or to know; call until `None`.
    pub(super) fn poll(&mut self, now: Duration, state: VehicleState) -> Option<Output> {
        loop {
            if let Some(output) = self.drain(now) {
                return Some(output);
            }
            if self.open.is_some() || now < self.next_request {
                return None;
            }
            if let Some(duty) = self.duties.urgent(now, state) {
                self.take_on(duty);
                continue;
            }
            let Some(command) = self.due(now, state) else {
                let duty = self.duties.due(now, state)?;
                self.take_on(duty);
                continue;
            };
            if let Err(why) = self.ask(command, now) {
                let name = self.table.commands()[command].name.clone();
                self.failed(command, now);
                return Some(Output::Failed { command: name, why });
            }
        }
    }

    /// A duty that cannot be asked is nothing to wait for.
    fn take_on(&mut self, duty: Duty) {
        let taken = match &mut self.askers[duty.asker] {
            Asker::One(client) => client.request(duty.request.clone()).is_ok(),
            Asker::All(group) => group.request(duty.request.clone()).is_ok(),
        };
        if taken {
            self.open = Some(Open::Duty(duty));
        }
    }

    /// When to poll again at the latest.
    pub(super) fn next_deadline(&self, now: Duration, state: VehicleState) -> Option<Duration> {
        let askers = self.askers.iter().filter_map(|asker| match asker {
            Asker::One(client) => client.next_deadline(),
            Asker::All(group) => group.next_deadline(),
        });
        let request = if self.open.is_none() {
            (0..self.schedule.len())
                .filter_map(|command| self.when(command, state))
                .chain(self.duties.when(state))
                .min()
                .map(|at| at.max(self.next_request).max(now))
        } else {
            None
        };
        askers.chain(request).min()
    }

    fn drain(&mut self, now: Duration) -> Option<Output> {
        for index in 0..self.askers.len() {
            loop {
                let output = match &mut self.askers[index] {
                    Asker::One(client) => match client.poll(now) {
                        None => break,
                        Some(ClientOutput::Transmit(frame)) => Some(Output::Transmit(frame)),
                        Some(ClientOutput::Finished(Ok(answer))) => self.finished(&answer, now),
                        Some(ClientOutput::Finished(Err(error))) => {
                            self.gave_up(error.to_string(), now)
                        }
                        Some(ClientOutput::Sent | ClientOutput::Stray(_)) => None,
                    },
                    Asker::All(group) => match group.poll(now) {
                        None => break,
                        Some(GroupOutput::Transmit(frame)) => Some(Output::Transmit(frame)),
                        // The profile means the first ECU that answers.
                        Some(GroupOutput::Answered {
                            result: Ok(answer),
                            from,
                        }) if !self.answered || matches!(self.open, Some(Open::Duty(_))) => {
                            self.take(&answer, Some(from), now)
                        }
                        Some(GroupOutput::Answered { .. } | GroupOutput::Stray { .. }) => None,
                        Some(GroupOutput::Finished) if self.answered => {
                            self.close(now);
                            None
                        }
                        Some(GroupOutput::Finished) => self.gave_up("no ECU answers".into(), now),
                    },
                };
                if output.is_some() {
                    return output;
                }
            }
        }
        None
    }

    fn finished(&mut self, answer: &Answer, now: Duration) -> Option<Output> {
        let output = self.take(answer, None, now);
        self.close(now);
        output
    }

    fn take(&mut self, answer: &Answer, from: Option<CanId>, now: Duration) -> Option<Output> {
        self.answered = true;
        let command = match self.open.clone()? {
            Open::Command(command) => command,
            Open::Duty(duty) => {
                return self.duties.answered(&duty, answer, from).map(Output::News);
            }
        };
        let mut readings = Vec::new();
        match self.table.decode(command, answer.payload(), &mut readings) {
            Ok(_) if readings.is_empty() => None,
            Ok(_) => {
                if let Some(schedule) = &mut self.schedule[command] {
                    schedule.failures = 0;
                }
                Some(Output::Readings(readings))
            }
            Err(error) => {
                self.failed(command, now);
                Some(Output::Failed {
                    command: self.table.commands()[command].name.clone(),
                    why: error.to_string(),
                })
            }
        }
    }

    fn gave_up(&mut self, why: String, now: Duration) -> Option<Output> {
        let Some(Open::Command(command)) = self.open else {
            self.close(now);
            return None;
        };
        self.failed(command, now);
        self.close(now);
        Some(Output::Failed {
            command: self.table.commands()[command].name.clone(),
            why,
        })
    }

    fn close(&mut self, now: Duration) {
        let asker = match self.open.take() {
            Some(Open::Command(command)) => self.schedule[command].as_ref().map(|s| s.asker),
            Some(Open::Duty(duty)) => Some(duty.asker),
            None => None,
        };
        if let Some(asker) = asker {
            self.peace[asker] = now + GAP_ECU;
        }
        self.answered = false;
        self.next_request = now + GAP;
    }

    fn failed(&mut self, command: usize, now: Duration) {
        if let Some(schedule) = &mut self.schedule[command] {
            let wait = FAILED
                .0
                .saturating_mul(1 << schedule.failures.min(8))
                .min(FAILED.1);
            schedule.failures = schedule.failures.saturating_add(1);
            schedule.not_before = now + wait;
        }
    }

    fn ask(&mut self, command: usize, now: Duration) -> Result<(), String> {
        let Some(schedule) = &mut self.schedule[command] else {
            return Ok(());
        };
        schedule.last = Some(now);
        let request = Request::decode(&self.table.commands()[command].payload())
            .map_err(|nrc| nrc.to_string())?;
        match &mut self.askers[schedule.asker] {
            Asker::One(client) => client.request(request).map_err(|error| error.to_string())?,
            Asker::All(group) => group.request(request).map_err(|error| error.to_string())?,
        }
        self.open = Some(Open::Command(command));
        Ok(())
    }

    /// The command that has waited longest beyond its time.
    fn due(&self, now: Duration, state: VehicleState) -> Option<usize> {
        (0..self.schedule.len())
            .filter_map(|command| {
                self.when(command, state)
                    .filter(|at| *at <= now)
                    .map(|at| (at, command))
            })
            .min()
            .map(|(_, command)| command)
    }

    fn when(&self, command: usize, state: VehicleState) -> Option<Duration> {
        if self.duties.holds_back() {
            return None;
        }
        let schedule = self.schedule[command].as_ref()?;
        let interval = self.table.commands()[command].every.in_state(state)?;
        let regular = schedule.last.map_or(Duration::ZERO, |last| last + interval);
        Some(
            regular
                .max(schedule.not_before)
                .max(self.peace[schedule.asker]),
        )
    }
}

/// Why a command is never asked.
fn refusal(command: &Command) -> Option<String> {
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

fn asker(command: &Command) -> Result<Asker, String> {
    let timing = Timing {
        p2: command.timeout.unwrap_or(Timing::default().p2),
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
