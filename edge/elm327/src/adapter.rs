//! One command at a time, its deadline, resets.

use core::{fmt::Write as _, time::Duration};
use std::collections::{HashSet, VecDeque};

use isotp::{CanId, Frame};
use thiserror::Error;

use crate::{
    line::{self, Damage, Line, Message, read_line},
    route::Route,
    settings::{self, SETUP, Settings},
};

/// A reset takes about a second; clones need more.
const RESET_WITHIN: Duration = Duration::from_secs(4);
/// Settings are answered at once.
const COMMAND_WITHIN: Duration = Duration::from_secs(2);
/// A request may wait for an ECU that says *pending*, or for the adapter's search.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Resets in a row without an answer before the adapter is given up.
const RESETS: u32 = 3;
/// Requests that wait; a caller that asks more at once is told so.
const WAITING: usize = 8;
/// No line of an adapter is longer: 64 bytes of an answer and an identifier, with spaces.
const LONGEST: usize = 512;

/// What an adapter is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The vehicle's bitrate: 500000 or 250000 bit/s.
    pub bitrate: u32,
    /// How often the voltage at the connector is read while nothing is asked; that disturbs nobody. `None`: never.
    pub voltage_every: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bitrate: 500_000,
            voltage_every: Some(Duration::from_secs(5)),
        }
    }
}

/// What happened, for log and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It can be asked; what it calls itself.
    Ready(String),
    /// It does not know a command, and works without.
    Lacks(String),
    /// It said something instead of an answer.
    Said(Message),
    /// A line could not be used.
    Damaged(Damage),
    /// It is set up anew, because of this.
    Reset(&'static str),
}

/// What an adapter wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes to the adapter.
    Write(Vec<u8>),
    /// A frame from the vehicle.
    Frame(Frame),
    /// Voltage at the connector in millivolts.
    Voltage(u32),
    /// For log and counters.
    Event(Event),
    /// It answers no more: close the line and open it anew.
    Dead,
}

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Adapters send single frames.
    #[error("{0} is no single frame: an ELM327 sends no longer requests")]
    NotSingle(Frame),
    /// Too many wait.
    #[error("{WAITING} requests are waiting for the adapter already")]
    Busy,
    /// It shows no identifiers, and several ECUs may answer.
    #[error(
        "the adapter shows no identifiers (no ATH1): only a request to one ECU can be asked, not {0}"
    )]
    NoHeaders(CanId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    Reset,
    Identify,
    Set(String),
    Voltage,
    Request(Frame, Route),
}

/// One adapter. Give it what comes with [`on_bytes`](Self::on_bytes), poll until `None`, and again at
/// [`next_deadline`](Self::next_deadline).
///
/// ```
/// use core::time::Duration;
/// use elm327::{Adapter, Config, Output};
///
/// let mut adapter = Adapter::new(Config::default());
/// assert_eq!(adapter.poll(Duration::ZERO), Some(Output::Write(b"ATZ\r".to_vec())));
/// ```
#[derive(Debug)]
pub struct Adapter {
    config: Config,
    routes: Vec<Route>,
    doing: Doing,
    until: Duration,
    /// Whether a prompt came and nothing is under way.
    ready: bool,
    resets: u32,
    text: Vec<u8>,
    /// Lines of the answer under way.
    lines: Vec<String>,
    commands: VecDeque<String>,
    settings: Settings,
    unknown: HashSet<String>,
    headers: bool,
    slow: bool,
    waiting: VecDeque<Frame>,
    voltage_at: Duration,
    name: String,
    /// Length of the message under way, where it stands on a line of its own.
    announced: Option<u16>,
    outputs: VecDeque<Output>,
}

impl Adapter {
    /// An adapter of which nothing is known: it begins with a reset.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            routes: Vec::new(),
            doing: Doing::Nothing,
            until: Duration::ZERO,
            ready: false,
            resets: 0,
            text: Vec::new(),
            lines: Vec::new(),
            commands: VecDeque::new(),
            settings: Settings::default(),
            unknown: HashSet::new(),
            headers: true,
            slow: false,
            waiting: VecDeque::new(),
            voltage_at: Duration::ZERO,
            name: String::new(),
            announced: None,
            outputs: VecDeque::new(),
        }
    }

    /// Which identifier answers to which, where it does not follow from ISO 15765-4.
    pub fn know(&mut self, routes: impl IntoIterator<Item = Route>) {
        self.routes.extend(routes);
    }

    /// Asks the vehicle. Flow control is taken and not sent: the adapter does that.
    pub fn send(&mut self, frame: Frame) -> Result<(), Refused> {
        let route = self.route(frame.id());
        match frame.data().get(usize::from(route.prefixed)) {
            Some(first) if first >> 4 == 3 => return Ok(()),
            Some(first) if *first > 0 && first >> 4 == 0 => {}
            _ => return Err(Refused::NotSingle(frame)),
        }
        if payload(&frame, &route).is_none() {
            return Err(Refused::NotSingle(frame));
        }
        if !self.headers && route.response.is_none() {
            return Err(Refused::NoHeaders(frame.id()));
        }
        if self.waiting.len() >= WAITING {
            return Err(Refused::Busy);
        }
        self.waiting.push_back(frame);
        Ok(())
    }

    /// Takes what came from the adapter.
    pub fn on_bytes(&mut self, now: Duration, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                // The data sheet: bytes of value 0 may be there by mistake and mean nothing.
                0 | b'\n' => {}
                b'\r' => self.end_line(now),
                b'>' => {
                    self.end_line(now);
                    self.prompt(now);
                }
                _ if self.text.len() < LONGEST => self.text.push(byte),
                // What goes on without an end cannot be a frame; cut, it could look like one.
                _ => self.text[0] = b'!',
            }
        }
    }

    /// The next thing to do or to know; `None` until something comes or [`next_deadline`](Self::next_deadline).
    pub fn poll(&mut self, now: Duration) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if !self.ready && now >= self.until {
            if self.resets >= RESETS {
                self.resets = 0;
                self.until = now + RESET_WITHIN;
                return Some(Output::Dead);
            }
            let why = match self.doing {
                Doing::Nothing => "first",
                Doing::Reset => "no answer to a reset",
                _ => "no prompt in time",
            };
            self.reset(now, why);
            return self.outputs.pop_front();
        }
        if self.ready {
            self.next(now);
        }
        self.outputs.pop_front()
    }

    /// When to poll again if nothing comes.
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.outputs.is_empty() {
            Some(Duration::ZERO)
        } else if !self.ready {
            Some(self.until)
        } else if !self.waiting.is_empty() || !self.commands.is_empty() {
            Some(Duration::ZERO)
        } else {
            self.voltage().then_some(self.voltage_at)
        }
    }

    fn voltage(&self) -> bool {
        self.config.voltage_every.is_some() && !self.unknown.contains("ATRV")
    }

    fn route(&self, id: CanId) -> Route {
        let known = self.routes.iter().find(|route| route.request == id);
        known.copied().unwrap_or_else(|| Route::standard(id))
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn begin(&mut self, now: Duration, doing: Doing, text: &str, within: Duration) {
        self.doing = doing;
        self.ready = false;
        self.until = now + within;
        self.lines.clear();
        self.text.clear();
        self.announced = None;
        self.outputs
            .push_back(Output::Write(format!("{text}\r").into_bytes()));
    }

    /// Everything that was set is forgotten, and what waits with it: its askers have given up by then.
    fn reset(&mut self, now: Duration, why: &'static str) {
        if self.doing != Doing::Nothing {
            self.event(Event::Reset(why));
            self.waiting.clear();
        }
        self.resets += 1;
        self.settings = Settings::default();
        self.headers = true;
        self.commands.clear();
        self.begin(now, Doing::Reset, "ATZ", RESET_WITHIN);
    }

    fn end_line(&mut self, now: Duration) {
        let bytes = std::mem::take(&mut self.text);
        // A byte that is no ASCII becomes a character that no message and no frame has.
        let text: String = bytes
            .iter()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '!'
                }
            })
            .collect();
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if let Doing::Request(frame, route) = &self.doing {
            let (frame, route) = (*frame, *route);
            self.answer(now, text, &frame, &route);
        } else if self.lines.len() < 64 {
            self.lines.push(text.to_owned());
        }
    }

    fn answer(&mut self, now: Duration, text: &str, request: &Frame, route: &Route) {
        if payload(request, route).is_some_and(|sent| sent == text.replace(' ', "")) {
            // Its own words: a clone that does not know ATE0, or forgot it.
            return;
        }
        match read_line(text, self.headers, route.request.is_extended()) {
            Line::Frame(frame) if route.takes(frame.id()) => {
                let body = &frame.data()[usize::from(route.prefixed).min(frame.data().len())..];
                // *Response pending*: this vehicle is slower than the adapter waits.
                if matches!(body, [3, 0x7F, _, 0x78, ..]) {
                    self.slow = true;
                }
                self.outputs.push_back(Output::Frame(frame));
            }
            // Another ECU's, or what looked like a frame.
            Line::Frame(_) => self.event(Event::Damaged(Damage::Foreign)),
            Line::Digits(digits) => match self.headless(&digits, route) {
                Ok(frame) => self.outputs.extend(frame.map(Output::Frame)),
                Err(damage) => self.event(Event::Damaged(damage)),
            },
            Line::Message(Message::Reset) => {
                self.event(Event::Said(Message::Reset));
                self.reset(now, "the adapter has lost its settings");
            }
            Line::Message(Message::Ok | Message::Searching) => {}
            Line::Message(message) => self.event(Event::Said(message)),
            Line::Damaged(damage) => self.event(Event::Damaged(damage)),
        }
    }

    /// The frame of a line without identifier: `410D20`, or a long answer's `014`, `0:490201314434`, `1:...` where the
    /// first line is its length and the last digit of the number is the frame's own.
    fn headless(&mut self, digits: &str, route: &Route) -> Result<Option<Frame>, Damage> {
        let Some(id) = route.response else {
            return Ok(None);
        };
        let data = if route.prefixed {
            line::bytes(digits)?
        } else if digits.len() == 3 {
            self.announced = u16::from_str_radix(digits, 16).ok();
            return Ok(None);
        } else if let Some((number, rest)) = digits.split_once(':') {
            let number = u8::from_str_radix(number, 16).map_err(|_| Damage::Foreign)?;
            let control = match self.announced.take() {
                Some(length) if number == 0 => vec![0x10 | (length >> 8) as u8 & 0xF, length as u8],
                _ => vec![0x20 | number & 0xF],
            };
            [control, line::bytes(rest)?].concat()
        } else {
            let data = line::bytes(digits)?;
            if data.len() > 7 {
                return Err(Damage::TooLong);
            }
            [vec![data.len() as u8], data].concat()
        };
        let frame = Frame::classic(id, &data).map_err(|_| Damage::TooLong)?;
        Ok(Some(frame))
    }

    /// The answer is at its end.
    fn prompt(&mut self, now: Duration) {
        let lines = std::mem::take(&mut self.lines);
        let said = |wanted: Message| {
            lines
                .iter()
                .any(|line| read_line(line, true, false) == Line::Message(wanted))
        };
        // Of a greeting that nobody asked for: it was without power.
        if said(Message::Reset) && !matches!(self.doing, Doing::Reset | Doing::Identify) {
            self.reset(now, "the adapter has started anew");
            return;
        }
        // A prompt that nobody waits for says nothing.
        if self.ready || self.doing == Doing::Nothing {
            return;
        }
        self.ready = true;
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Reset => {
                self.commands = SETUP
                    .iter()
                    .filter(|command| !self.unknown.contains(**command))
                    .map(|command| (*command).to_owned())
                    .collect();
                self.headers = !self.unknown.contains("ATH1");
                self.begin(now, Doing::Identify, "ATI", COMMAND_WITHIN);
            }
            Doing::Identify => {
                let name = lines.iter().rfind(|line| !line.starts_with("ATI"));
                self.name = name.cloned().unwrap_or_default();
            }
            Doing::Set(command) if said(Message::Unknown) => self.lacks(&command),
            Doing::Voltage => match lines.iter().find_map(|line| millivolts(line)) {
                Some(millivolts) => self.outputs.push_back(Output::Voltage(millivolts)),
                None if said(Message::Unknown) => self.lacks("ATRV"),
                None => {}
            },
            Doing::Set(_) | Doing::Request(..) | Doing::Nothing => {}
        }
    }

    fn lacks(&mut self, command: &str) {
        if settings::is_vital(command) {
            // The request that it was for would go elsewhere.
            self.waiting.pop_front();
            self.commands.clear();
            self.settings = Settings::default();
        } else {
            let _ = self.unknown.insert(settings::kind(command).to_owned());
        }
        if command == "ATH1" {
            self.headers = false;
        }
        self.event(Event::Lacks(command.to_owned()));
    }

    /// Begins what comes next.
    fn next(&mut self, now: Duration) {
        if let Some(command) = self.commands.pop_front() {
            if self.unknown.contains(settings::kind(&command)) {
                return self.next(now);
            }
            self.begin(now, Doing::Set(command.clone()), &command, COMMAND_WITHIN);
            return;
        }
        if self.resets > 0 {
            self.resets = 0;
            self.voltage_at = now;
            let name = self.name.clone();
            self.event(Event::Ready(name));
        }
        if let Some(frame) = self.waiting.front().copied() {
            let route = self.route(frame.id());
            let (commands, settings) = self.settings.toward(&route, self.config.bitrate, self.slow);
            self.settings = settings;
            if commands.is_empty() {
                self.waiting.pop_front();
                if let Some(text) = payload(&frame, &route) {
                    self.begin(now, Doing::Request(frame, route), &text, REQUEST_WITHIN);
                }
            } else {
                self.commands = commands.into();
                self.next(now);
            }
        } else if self.voltage() && now >= self.voltage_at {
            self.voltage_at = now + self.config.voltage_every.unwrap_or_default();
            self.begin(now, Doing::Voltage, "ATRV", COMMAND_WITHIN);
        }
    }
}

/// The digits of a request: without length where the adapter adds it, else all of the frame.
fn payload(frame: &Frame, route: &Route) -> Option<String> {
    let data = frame.data();
    let sent = if route.prefixed {
        data
    } else {
        data.get(1..=usize::from(*data.first()?))?
    };
    Some(digits(sent))
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// `12.4V`.
fn millivolts(line: &str) -> Option<u32> {
    let volts: f64 = line.trim().trim_end_matches(['V', 'v']).parse().ok()?;
    (0.0..100.0)
        .contains(&volts)
        .then(|| (volts * 1000.0).round() as u32)
}
