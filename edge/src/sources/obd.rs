//! Asks the ECUs of one vehicle by its profile. Sans I/O: frames and the time go in, frames and readings come out.
//!
//! Only services that read are asked (01, 02, 03, 07, 09, 0A, 19, 21, 22), only in the default session, one request at a time
//! on the bus with a pause for each ECU, and only as often as the profile says for what the vehicle is doing. What is due of
//! one ECU at about the same time is asked in one request, as far as it goes into one frame (`merge.rs`). Besides the
//! profile's, every vehicle is asked for its VIN and its trouble codes (`duty.rs`). The one thing that changes something,
//! 14, is asked when somebody has ordered it ([`Poller::clear_codes`]).

mod asker;
mod clearing;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::{
    duty::{Duties, Duty, News},
    merge,
};
use asker::{Asker, asker, refusal, tells_speed};
use clearing::Clearing;
use elm327::Route;
use isotp::{
    CanId, Frame,
    uds::{Answer, ClientOutput, Group, GroupOutput, Request, Timing},
};
use vehicles::{Reading, diagnostic::Table, profile::VehicleState};

/// Between two requests on the bus.
const GAP: Duration = Duration::from_millis(20);
/// Between two requests to one ECU, which has other things to do.
const GAP_ECU: Duration = Duration::from_millis(50);
/// After a request failed it is not asked again for so long, doubling up to the most.
const FAILED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// While somebody waits for the vehicle to stand still, its speed is asked for so often.
const ATTENDED: Duration = Duration::from_secs(5);
#[derive(Debug)]
struct Schedule {
    asker: usize,
    last: Option<Duration>,
    not_before: Duration,
    failures: u32,
    /// Its ECU has not answered it together with others.
    alone: bool,
    /// Among its signals is the vehicle's speed.
    speed: bool,
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
    /// The ECUs have forgotten their trouble codes, or why not; how many have.
    Cleared(Result<usize, String>),
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
    clearing: Option<Clearing>,
    /// Whether somebody waits for the vehicle to stand still.
    attended: bool,
    outputs: VecDeque<Output>,
    /// Signals that answers were too short for, since somebody asked.
    missing: u64,
    next_request: Duration,
    /// Until when each asker's ECU is left in peace.
    peace: Vec<Duration>,
}

/// What was asked.
#[derive(Clone, Debug)]
enum Open {
    Commands {
        asked: Vec<usize>,
        /// Those of them that have their answer.
        answered: Vec<usize>,
    },
    Duty(Duty),
}

impl Poller {
    /// A poller for these commands; the second value tells which are never asked, and why.
    ///
    /// `late`: how much later than from the ECU an answer comes through what is between.
    pub(super) fn new(table: Table, late: Duration) -> (Self, Vec<String>) {
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
                (None, None) => asker(command, late).map(|asker| {
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
                    alone: false,
                    speed: tells_speed(command),
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
            let timing = Timing {
                p2: Timing::default().p2 + late,
                ..Timing::default()
            };
            let group = if extended {
                Group::obd_29(timing)
            } else {
                Group::obd_11(timing)
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
                clearing: None,
                attended: false,
                outputs: VecDeque::new(),
                missing: 0,
                next_request: Duration::ZERO,
            },
            left_out,
        )
    }

    /// How many signals answers were too short for since this was asked last.
    pub(super) fn missing(&mut self) -> u64 {
        std::mem::take(&mut self.missing)
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
        for schedule in self.schedule.iter_mut().flatten() {
            schedule.alone = false;
        }
    }

    /// Somebody waits for the vehicle to stand still: its speed is asked for more often.
    pub(super) fn attend(&mut self, attended: bool) {
        self.attended = attended;
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
            if let Some(output) = self.drain(now).or_else(|| self.outputs.pop_front()) {
                return Some(output);
            }
            if self.open.is_some() || now < self.next_request {
                return None;
            }
            // Not before it is known to be the right one.
            if !self.duties.holds_back()
                && let Some(clearing) = &mut self.clearing
            {
                if let Some(duty) = clearing.left.pop_front() {
                    self.take_on(duty);
                    continue;
                }
                return self.cleared();
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
            let asked = self.together(command, now, state);
            if let Err(why) = self.ask(&asked, now) {
                self.failed(command, now);
                return Some(self.failure(command, why));
            }
        }
    }

    /// What is asked in one request with this command: those of its ECU that are due soon and go into the same frame.
    fn together(&self, first: usize, now: Duration, state: VehicleState) -> Vec<usize> {
        let commands = self.table.commands();
        let most = merge::most(&commands[first]);
        let joins = |command: usize| {
            let schedule = self.schedule[command].as_ref();
            schedule.is_some_and(|schedule| !schedule.alone) && merge::takes(&commands[command])
        };
        let mut asked = vec![first];
        if most < 2 || !joins(first) {
            return asked;
        }
        let asker = |command: usize| self.schedule[command].as_ref().map(|one| one.asker);
        let mut others: Vec<_> = (0..self.schedule.len())
            .filter(|&other| other != first && asker(other) == asker(first) && joins(other))
            .filter(|&other| commands[other].service == commands[first].service)
            .filter_map(|other| Some((self.when(other, state)?, other)))
            .filter(|(at, _)| *at <= now + merge::SOON)
            .collect();
        others.sort_unstable();
        for (_, other) in others {
            let identifier = &commands[other].identifier;
            let twice = asked
                .iter()
                .any(|&one| commands[one].identifier == *identifier);
            if asked.len() < most && !twice {
                asked.push(other);
            }
        }
        asked
    }

    fn failure(&self, command: usize, why: String) -> Output {
        Output::Failed {
            command: self.table.commands()[command].name.clone(),
            why,
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
            return;
        }
        if let (Request::ClearDiagnosticInformation { .. }, Some(clearing)) =
            (&duty.request, &mut self.clearing)
        {
            clearing
                .refused
                .push("it is being asked already".to_owned());
        }
        let news = self.duties.over(&duty).map(Output::News);
        self.outputs.extend(news);
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
                        }) if !self.answered || !self.is_for_one() => {
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

    /// Whether the first answer is the only one that is wanted.
    fn is_for_one(&self) -> bool {
        matches!(&self.open, Some(Open::Commands { asked, .. }) if asked.len() == 1)
    }

    fn finished(&mut self, answer: &Answer, now: Duration) -> Option<Output> {
        let output = self.take(answer, None, now);
        self.close(now);
        output
    }

    fn take(&mut self, answer: &Answer, from: Option<CanId>, now: Duration) -> Option<Output> {
        self.answered = true;
        let asked = match self.open.clone()? {
            Open::Commands { asked, .. } => asked,
            Open::Duty(duty) => {
                if let (Request::ClearDiagnosticInformation { .. }, Some(clearing)) =
                    (&duty.request, &mut self.clearing)
                {
                    clearing.cleared += 1;
                }
                return self.duties.answered(&duty, answer, from).map(Output::News);
            }
        };
        let commands = asked.iter().map(|&number| &self.table.commands()[number]);
        let parts = match merge::parts(&commands.collect::<Vec<_>>(), answer) {
            Ok(parts) => parts,
            // None of it can be told from the others.
            Err(why) => return Some(self.failure(asked[0], why)),
        };
        let mut readings = Vec::new();
        for (place, payload) in parts {
            let command = asked[place];
            let Some(Open::Commands { answered, .. }) = &mut self.open else {
                return None;
            };
            // Of several ECUs the first one that has it counts.
            if answered.contains(&command) {
                continue;
            }
            answered.push(command);
            match self.table.decode(command, &payload, &mut readings) {
                Ok(outcome) => {
                    self.missing += u64::from(outcome.missing);
                    if let Some(schedule) = &mut self.schedule[command] {
                        schedule.failures = 0;
                    }
                }
                Err(error) => {
                    self.failed(command, now);
                    let failure = self.failure(command, error.to_string());
                    self.outputs.push_back(failure);
                }
            }
        }
        (!readings.is_empty()).then_some(Output::Readings(readings))
    }

    fn gave_up(&mut self, why: String, now: Duration) -> Option<Output> {
        match &self.open {
            Some(Open::Commands { asked, .. }) if asked.len() == 1 => {
                let command = asked[0];
                self.failed(command, now);
                self.close(now);
                Some(self.failure(command, why))
            }
            Some(Open::Duty(duty)) => {
                if let (Request::ClearDiagnosticInformation { .. }, Some(clearing)) =
                    (&duty.request, &mut self.clearing)
                {
                    clearing.refused.push(why);
                }
                self.close(now);
                None
            }
            _ => {
                self.close(now);
                None
            }
        }
    }

    fn close(&mut self, now: Duration) {
        let asker = match self.open.take() {
            Some(Open::Commands { asked, answered }) => {
                let asker = self.schedule[asked[0]].as_ref().map(|one| one.asker);
                // What was asked with others and has no answer is asked by itself, at once.
                for &command in asked.iter().filter(|one| !answered.contains(one)) {
                    if let Some(schedule) = &mut self.schedule[command]
                        && asked.len() > 1
                    {
                        (schedule.alone, schedule.last) = (true, None);
                    }
                }
                asker
            }
            Some(Open::Duty(duty)) => {
                let news = self.duties.over(&duty).map(Output::News);
                self.outputs.extend(news);
                Some(duty.asker)
            }
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

    fn ask(&mut self, asked: &[usize], now: Duration) -> Result<(), String> {
        let commands = asked.iter().map(|&number| &self.table.commands()[number]);
        let request = merge::request(&commands.collect::<Vec<_>>())?;
        let mut asker = 0;
        for &command in asked {
            if let Some(schedule) = &mut self.schedule[command] {
                schedule.last = Some(now);
                asker = schedule.asker;
            }
        }
        match &mut self.askers[asker] {
            Asker::One(client) => client.request(request).map_err(|error| error.to_string())?,
            Asker::All(group) => group.request(request).map_err(|error| error.to_string())?,
        }
        self.open = Some(Open::Commands {
            asked: asked.to_vec(),
            answered: Vec::new(),
        });
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
        let mut interval = self.table.commands()[command].every.in_state(state)?;
        if self.attended && schedule.speed {
            interval = interval.min(ATTENDED);
        }
        let regular = schedule.last.map_or(Duration::ZERO, |last| last + interval);
        Some(
            regular
                .max(schedule.not_before)
                .max(self.peace[schedule.asker]),
        )
    }
}

#[cfg(test)]
mod tests;
