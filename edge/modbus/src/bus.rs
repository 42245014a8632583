//! The thin shell: one line with its units, polled one after the other for as long as somebody asks for the next cycle.

use std::{fmt, future::Future, io, sync::Arc, time::Duration};

use shared_protocol::Decimal;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::{
    codec::{self, Framing, Shape},
    cycle::{AddError, Cycle, SettingName, UnitError, WriteError},
    decode::{Image, decode},
    device::{Device, Place, ResolvedSetting},
    line::{CallError, Line, Timing},
    plan::{plan, read_request, shape_of},
    poller::{Next, Outcome, Poller},
    trust::Trust,
    unit::{Checks, Unit},
};

/// How long opening a line may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Shortest and longest pause between two attempts to open a line.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A line and the units on it.
///
/// `connect` opens the transport: a serial port, a TCP connection, or anything else that carries bytes. It is called
/// again whenever the line has to be opened anew. Units are numbered from 0 in the order of [`Bus::add`].
#[derive(Debug)]
pub struct Bus<C, S> {
    connect: C,
    framing: Framing,
    timing: Timing,
    line: Option<Line<S>>,
    units: Vec<Unit>,
    poller: Poller,
    start: Instant,
    last_exchange: Option<Instant>,
    failed_connects: u32,
    reconnect_at: Instant,
    line_says: String,
    watch: Watch,
}

/// The longest that one step on a line may take: opening it, or draining it and waiting for an answer (transmission not
/// counted).
pub fn longest_silence(timing: &Timing) -> Duration {
    CONNECT_LIMIT.max(timing.drain_limit + timing.response + timing.quiet)
}

/// Whoever wants to know that the line moves.
#[derive(Default)]
struct Watch(Option<Box<dyn Fn() + Send + Sync>>);

impl Watch {
    fn tell(&self) {
        if let Some(tell) = &self.0 {
            tell();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}

impl<C, F, S> Bus<C, S>
where
    C: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// A line without units; it is opened when the first is polled.
    pub fn new(framing: Framing, timing: Timing, connect: C) -> Self {
        let now = Instant::now();
        Self {
            connect,
            framing,
            timing,
            line: None,
            units: Vec::new(),
            poller: Poller::new(),
            start: now,
            last_exchange: None,
            failed_connects: 0,
            reconnect_at: now,
            line_says: "not opened yet".to_owned(),
            watch: Watch::default(),
        }
    }

    /// Has this called whenever the line is opened or an exchange begins: it moves, however many requests a unit takes. Between
    /// two calls lie at most [`longest_silence`] and the pauses that a device's map asks for, as long as there is
    /// something to do.
    pub fn watched(&mut self, tell: impl Fn() + Send + Sync + 'static) {
        self.watch = Watch(Some(Box::new(tell)));
    }

    /// Adds a unit and gives its number.
    ///
    /// `identity` is what its identity register must say (an integer in decimal digits, or the text). Without it the first
    /// answer is learnt; another identity is taken over when it was read [`crate::unit::STRANGER_CYCLES`] times in a row.
    pub fn add(
        &mut self,
        address: u8,
        device: Arc<Device>,
        identity: Option<String>,
    ) -> Result<usize, AddError> {
        let plan = plan(&device);
        if self.framing == Framing::Rtu && !(1..=247).contains(&address) {
            return Err(AddError::Address { found: address });
        }
        if self.units.iter().any(|unit| unit.address == address) {
            return Err(AddError::Twice { address });
        }
        if !self.framing.numbered() && plan.syncs.is_empty() {
            return Err(AddError::NoSync {
                model: device.map().model.clone(),
            });
        }
        self.poller
            .add(plan.groups.iter().map(|group| group.interval));
        self.units.push(Unit {
            address,
            checks: Checks::new(&device, identity),
            device,
            plan: Arc::new(plan),
            trust: Trust::default(),
        });
        Ok(self.units.len() - 1)
    }

    /// Waits until a unit is due. Dropping this future costs nothing.
    pub async fn ready(&self) {
        while let Next::Wait(until) = self.poller.next(self.start.elapsed()) {
            sleep_until(self.start + until).await;
        }
    }

    /// Waits for the next unit that is due and reads it.
    ///
    /// Never ends by itself later than the unit's deadlines allow. Dropping the future is safe, but in the middle of an
    /// exchange it costs a drain: callers that wait for other things as well should wait on [`Bus::ready`] first.
    pub async fn next(&mut self) -> Cycle {
        loop {
            self.ready().await;
            if let Next::Poll {
                unit,
                groups,
                trial,
            } = self.poller.next(self.start.elapsed())
            {
                return self.cycle(unit, &groups, trial).await;
            }
        }
    }

    /// Whether a unit counts as dead: it is tried seldom until it answers.
    pub fn is_dead(&self, unit: usize) -> bool {
        self.poller.is_dead(unit)
    }

    async fn cycle(&mut self, unit: usize, groups: &[usize], trial: bool) -> Cycle {
        let started = Instant::now();
        let plan = Arc::clone(&self.units[unit].plan);
        let device = Arc::clone(&self.units[unit].device);
        let mut cycle = Cycle {
            unit,
            started,
            identity: None,
            readings: Vec::new(),
            errors: Vec::new(),
        };
        let mut retries = u32::from(!trial);
        let mut outcome = Outcome::Silent;
        'groups: for group in groups.iter().filter_map(|&group| plan.groups.get(group)) {
            let mut image = Image::default();
            let mut goes_on = true;
            for request in &group.requests {
                while goes_on {
                    let error = match self.read(unit, request.place).await {
                        Ok(words) => {
                            image.insert(request.place.table, request.place.address, words);
                            outcome = Outcome::Answered;
                            break;
                        }
                        Err(error) => error,
                    };
                    if error.shows_life() {
                        outcome = Outcome::Answered;
                    } else if matches!(error, UnitError::LineDown { .. })
                        && outcome == Outcome::Silent
                    {
                        outcome = Outcome::LineDown;
                    }
                    let (again, skip) = (
                        error.is_fault() && retries > 0,
                        error.is_about(request.place),
                    );
                    cycle.errors.push(error);
                    if again {
                        retries -= 1;
                    } else if skip {
                        break;
                    } else {
                        goes_on = false;
                    }
                }
            }
            let (readings, errors) = decode(&device, &group.points, &image);
            cycle.readings.extend(readings);
            cycle.errors.extend(
                errors
                    .into_iter()
                    .map(|(point, error)| UnitError::Point { point, error }),
            );
            if !goes_on {
                break 'groups;
            }
        }
        cycle.identity = self.units[unit].checks.identity().map(str::to_owned);
        // What a silent unit may still send is waited for on its own account.
        if let Some(line) = self.line.as_mut().filter(|line| line.is_dirty())
            && let Err(fault) = line.drain().await
        {
            self.close(fault.to_string());
        }
        if device.map().workarounds.close_after_cycle.is_some() {
            self.close("closed after the cycle, as the device's map says".to_owned());
        }
        self.poller.finished(
            unit,
            groups,
            started - self.start,
            self.start.elapsed(),
            outcome,
        );
        cycle
    }

    /// Writes a setting, reads it back and compares.
    ///
    /// On an error nothing is known about what the charger took: write again, or let its watchdog fall back.
    pub async fn write(
        &mut self,
        unit: usize,
        name: SettingName,
        value: Decimal,
    ) -> Result<(), WriteError> {
        let setting = self.setting(unit, name)?;
        let written = setting.words_back(value)?;
        let request = setting.write_request(setting.words(value)?);
        self.call(unit, &request).await?;
        let found = self.read(unit, setting.back.0).await?;
        if found == written {
            Ok(())
        } else {
            Err(WriteError::NotKept { written, found })
        }
    }

    /// Whether a setting has this value.
    pub async fn has(
        &mut self,
        unit: usize,
        name: SettingName,
        value: Decimal,
    ) -> Result<bool, WriteError> {
        let setting = self.setting(unit, name)?;
        let words = setting.words_back(value)?;
        Ok(self.read(unit, setting.back.0).await? == words)
    }

    /// Sees to it that a setting has this value, and tells whether it had to be written: devices keep settings in flash,
    /// which wears out.
    pub async fn keep(
        &mut self,
        unit: usize,
        name: SettingName,
        value: Decimal,
    ) -> Result<bool, WriteError> {
        if self.has(unit, name, value).await? {
            return Ok(false);
        }
        self.write(unit, name, value).await.map(|()| true)
    }

    fn setting(&self, unit: usize, name: SettingName) -> Result<ResolvedSetting, WriteError> {
        let unit = self.units.get(unit);
        let setting = unit.and_then(|unit| name.of(&unit.device));
        setting.cloned().ok_or(WriteError::NoSuchSetting { name })
    }

    /// Reads a place of a unit that is in step, or is brought in step first.
    async fn read(&mut self, unit: usize, place: Place) -> Result<Vec<u16>, UnitError> {
        let response = self.call(unit, &read_request(place)).await?;
        Ok(words_of(response))
    }

    async fn call(&mut self, unit: usize, request: &Request<'_>) -> Result<Response, UnitError> {
        self.open().await?;
        self.synchronise(unit, request).await?;
        self.exchange(unit, request).await
    }

    /// Brings a unit in step when its next answer could not be told from an earlier one.
    ///
    /// After a fault, an exception or a new connection both sync reads are made, and what identifies the device is compared.
    async fn synchronise(&mut self, index: usize, request: &Request<'_>) -> Result<(), UnitError> {
        let wanted = codec::shape(request).map_err(|error| UnitError::impossible(&error))?;
        let unit = &self.units[index];
        let plan = Arc::clone(&unit.plan);
        let syncs = if self.framing.numbered() {
            &[][..]
        } else {
            &plan.syncs[..]
        };
        if !unit.trust.in_step() {
            let mut checks = unit.checks.places().to_vec();
            checks.retain(|place| !syncs.contains(place));
            // With one sync only it is read twice: that tells one repetition of its answer from the answer.
            for &place in syncs
                .iter()
                .cycle()
                .take(if syncs.is_empty() { 0 } else { 2 })
            {
                self.check(index, place).await?;
            }
            for place in checks {
                self.part(index, syncs, &shape_of(place)).await?;
                self.check(index, place).await?;
            }
        }
        self.part(index, syncs, &wanted).await
    }

    /// Makes a sync read when the unit's last answer has the shape of the next.
    async fn part(&mut self, index: usize, syncs: &[Place], next: &Shape) -> Result<(), UnitError> {
        match syncs.first() {
            Some(&sync) if !self.units[index].trust.admits(next) => self.check(index, sync).await,
            _ => Ok(()),
        }
    }

    /// Reads a register whose content is known, if it is one, and compares.
    async fn check(&mut self, index: usize, place: Place) -> Result<(), UnitError> {
        let words = words_of(self.exchange(index, &read_request(place)).await?);
        let unit = &mut self.units[index];
        let compared = unit.checks.compare(place, &words);
        if compared.is_err() {
            unit.trust.sent();
        }
        compared
    }

    /// One exchange with a unit; the bookkeeping holds even if the future is dropped on the way.
    async fn exchange(
        &mut self,
        index: usize,
        request: &Request<'_>,
    ) -> Result<Response, UnitError> {
        let unit = &mut self.units[index];
        let pause = Duration::from_millis(u64::from(unit.device.map().defaults.pause_ms));
        if let Some(last) = self.last_exchange {
            sleep_until(last + pause).await;
        }
        let Some(line) = &mut self.line else {
            return Err(UnitError::LineDown {
                says: self.line_says.clone(),
            });
        };
        unit.trust.sent();
        self.watch.tell();
        let result = line.call(unit.address, request).await;
        self.last_exchange = Some(Instant::now());
        match result {
            Ok(Ok(response)) => {
                unit.trust.accepted(
                    codec::shape(request).map_err(|error| UnitError::impossible(&error))?,
                );
                Ok(response)
            }
            Ok(Err(code)) => Err(UnitError::Exception {
                place: place_of(request),
                code,
            }),
            Err(CallError::Request(error)) => Err(UnitError::impossible(&error)),
            Err(CallError::Fault(fault)) => {
                use crate::fault::Fault::{Babble, Closed, Io, Spoilt};
                if self.framing != Framing::Rtu
                    || matches!(fault, Babble { .. } | Closed | Io(_) | Spoilt)
                {
                    self.close(fault.to_string());
                }
                Err(UnitError::Fault {
                    place: place_of(request),
                    fault,
                })
            }
        }
    }

    fn close(&mut self, says: String) {
        self.line = None;
        self.line_says = says;
    }

    /// Opens the line if it is not open. A line that cannot be opened is tried again after a growing pause.
    async fn open(&mut self) -> Result<(), UnitError> {
        // A connection that a dropped future left in the middle of an exchange cannot be drained.
        if self.framing != Framing::Rtu && self.line.as_ref().is_some_and(Line::is_dirty) {
            self.close("left in the middle of an exchange".to_owned());
        }
        if self.line.is_some() {
            return Ok(());
        }
        if Instant::now() < self.reconnect_at {
            return Err(UnitError::LineDown {
                says: self.line_says.clone(),
            });
        }
        self.watch.tell();
        let random = getrandom::u32().unwrap_or_default();
        let error = match timeout(CONNECT_LIMIT, (self.connect)()).await {
            Ok(Ok(io)) => {
                self.line = Some(Line::new(io, self.framing, self.timing, random as u16));
                self.failed_connects = 0;
                self.units.iter_mut().for_each(|unit| unit.trust.sent());
                let pauses = self
                    .units
                    .iter()
                    .filter_map(|unit| unit.device.map().workarounds.pause_after_connect.as_ref());
                let pause = pauses.map(|pause| pause.ms).max().unwrap_or(0);
                self.last_exchange = Some(Instant::now());
                sleep_until(Instant::now() + Duration::from_millis(u64::from(pause))).await;
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not open after {CONNECT_LIMIT:?}"),
        };
        let back_off = (RECONNECT.0 * (1 << self.failed_connects.min(6))).min(RECONNECT.1);
        // Between three quarters and five quarters, so that many lines do not come back at the same instant.
        self.reconnect_at = Instant::now() + back_off * 3 / 4 + back_off / 2 * (random >> 24) / 256;
        self.failed_connects = self.failed_connects.saturating_add(1);
        self.line_says.clone_from(&error);
        Err(UnitError::LineDown { says: error })
    }
}

/// The words of a read; a coil or discrete input is 0 or 1.
fn words_of(response: Response) -> Vec<u16> {
    match response {
        Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => words,
        Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) => {
            bits.into_iter().map(u16::from).collect()
        }
        _ => Vec::new(),
    }
}

/// What a request is about, for messages.
fn place_of(request: &Request<'_>) -> Place {
    use crate::map::Table::{Coil, Discrete, Holding, Input};
    let (table, address, count) = match request {
        Request::ReadCoils(a, n) => (Coil, *a, *n),
        Request::ReadDiscreteInputs(a, n) => (Discrete, *a, *n),
        Request::ReadInputRegisters(a, n) => (Input, *a, *n),
        Request::ReadHoldingRegisters(a, n) => (Holding, *a, *n),
        Request::WriteMultipleRegisters(a, words) => (Holding, *a, words.len() as u16),
        Request::WriteSingleRegister(a, _) => (Holding, *a, 1),
        _ => (Holding, 0, 0),
    };
    Place {
        table,
        address,
        count,
    }
}

impl UnitError {
    fn impossible(error: &codec::RequestError) -> Self {
        Self::Impossible {
            says: error.to_string(),
        }
    }

    /// Whether the unit is there and answers, if not with what was wanted.
    fn shows_life(&self) -> bool {
        match self {
            // The gateway says these two, not the unit.
            Self::Exception { code, .. } => !matches!(
                code,
                ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetDevice
            ),
            Self::Identity { .. } | Self::Guard { .. } | Self::Point { .. } => true,
            Self::Fault { .. } | Self::LineDown { .. } | Self::Impossible { .. } => false,
        }
    }

    fn is_fault(&self) -> bool {
        matches!(self, Self::Fault { .. })
    }

    /// Whether only this place is lost, and the next can be read all the same.
    fn is_about(&self, wanted: Place) -> bool {
        matches!(self, Self::Exception { place, .. } if *place == wanted) && self.shows_life()
    }
}
