//! Faults: what devices and buses do wrong on purpose.
//!
//! Each kind happens by chance, at a rate that the command line or [`Faults::set`] gives, or once or more for certain
//! at one asset ([`Faults::inject`]). What a reader must not take because of one stands in the truth as withheld.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::chance::Chance;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A Modbus answer comes after the reader has given it up. Other answers are not held up by it.
    Late,
    /// The Modbus connection is closed instead of an answer.
    Drop,
    /// A Modbus exception instead of an answer.
    Exception,
    /// A Modbus answer that lacks its end: of the registers, or of the frame.
    Truncate,
    /// A Modbus answer in the name of another unit.
    WrongUnit,
    /// A Modbus answer that comes again a moment later, unless the reader has asked something else by then. The first is
    /// given.
    Duplicate,
    /// A CAN frame that does not arrive.
    FrameLost,
    /// A CAN frame with a data length code too small for any of its signals.
    FrameShort,
    /// The connection to a CAN bus is closed.
    BusDrop,
    /// An ECU that does not answer.
    EcuSilent,
    /// An ECU that answers "conditions not correct" (ISO 14229-1, code 22).
    EcuNegative,
    /// A charger that is gone for some seconds and has forgotten its settings; by chance, a rate per second.
    Reboot,
    /// A meter whose registers stand still for some seconds, and are given all the same; a rate per second.
    Freeze,
    /// The connection of a station that speaks OCPP breaks as soon as a message of a transaction has gone out: whether it has
    /// arrived, the station does not know.
    Cut,
    /// A station that speaks OCPP says, asked for its composite schedule, that it would allow all that it can give, whatever it
    /// was told. It does what it was told all the same.
    Overstate,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Late,
        Self::Drop,
        Self::Exception,
        Self::Truncate,
        Self::WrongUnit,
        Self::Duplicate,
        Self::FrameLost,
        Self::FrameShort,
        Self::BusDrop,
        Self::EcuSilent,
        Self::EcuNegative,
        Self::Reboot,
        Self::Freeze,
        Self::Cut,
        Self::Overstate,
    ];

    /// The word on the command line and in the truth.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Drop => "drop",
            Self::Exception => "exception",
            Self::Truncate => "truncate",
            Self::WrongUnit => "wrong-unit",
            Self::Duplicate => "duplicate",
            Self::FrameLost => "frame-lost",
            Self::FrameShort => "frame-short",
            Self::BusDrop => "bus-drop",
            Self::EcuSilent => "ecu-silent",
            Self::EcuNegative => "ecu-negative",
            Self::Reboot => "reboot",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::Overstate => "overstate",
        }
    }
}

/// How often what goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Probability of each kind, in the order of [`Fault::ALL`]: for each answer, frame or request; per second for
    /// the connection of a bus, reboots and frozen meters.
    rates: [f64; Fault::ALL.len()],
    /// How long readers wait for a Modbus answer. Late ones come after one and a half to three times this.
    pub patience: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            rates: [0.0; Fault::ALL.len()],
            patience: Duration::from_secs(1),
        }
    }
}

impl Rates {
    /// The rate of a kind.
    pub fn of(&self, fault: Fault) -> f64 {
        self.rates[fault as usize]
    }

    /// With another rate for one kind.
    #[must_use]
    pub fn with(mut self, fault: Fault, rate: f64) -> Self {
        self.rates[fault as usize] = rate;
        self
    }
}

/// Why a text is not a list of rates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    /// No such word.
    #[error("`{0}` is not a fault: use {names}, `all` or `patience-ms`", names = names())]
    Unknown(String),
    /// Not a number that it can have.
    #[error("`{key}` cannot be `{found}`: {expected}")]
    Value {
        /// Of what.
        key: String,
        /// As given.
        found: String,
        /// What is possible.
        expected: &'static str,
    },
}

fn names() -> String {
    let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    names.join(", ")
}

/// `late=0.01,drop=0.005,patience-ms=1000`; `all=0.01` gives every kind this rate.
impl FromStr for Rates {
    type Err = RatesError;

    fn from_str(text: &str) -> Result<Self, RatesError> {
        let mut rates = Self::default();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            let wrong = |expected| RatesError::Value {
                key: key.to_owned(),
                found: value.to_owned(),
                expected,
            };
            if key == "patience-ms" {
                let ms = value.parse().ok().filter(|ms| (10..=60_000).contains(ms));
                let ms = ms.ok_or_else(|| wrong("10 to 60000 are possible"))?;
                rates.patience = Duration::from_millis(ms);
                continue;
            }
            let which: Vec<_> = Fault::ALL
                .into_iter()
                .filter(|fault| key == "all" || fault.name() == key)
                .collect();
            if which.is_empty() {
                return Err(RatesError::Unknown(key.to_owned()));
            }
            let rate = value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
            let rate = rate.ok_or_else(|| wrong("0 to 1 are possible"))?;
            rates = which
                .into_iter()
                .fold(rates, |rates, fault| rates.with(fault, rate));
        }
        Ok(rates)
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL.into_iter().filter(|fault| self.of(*fault) > 0.0) {
            write!(f, "{}={},", fault.name(), self.of(fault))?;
        }
        write!(f, "patience-ms={}", self.patience.as_millis())
    }
}

/// Decides what goes wrong. Each asset and kind has a stream of chance of its own.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rates: Rates,
    /// What is to happen for certain, and how often still.
    orders: HashMap<(String, Fault), u32>,
    chances: HashMap<(String, Fault), Chance>,
    struck: HashMap<Fault, u64>,
}

impl Faults {
    /// Faults by these rates.
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self {
            seed,
            state: Mutex::new(State {
                rates,
                orders: HashMap::new(),
                chances: HashMap::new(),
                struck: HashMap::new(),
            }),
        }
    }

    /// Other rates from now on.
    pub fn set(&self, rates: Rates) {
        self.state().rates = rates;
    }

    /// The next `times` occasions at this asset are struck for certain.
    pub fn inject(&self, asset: &str, fault: Fault, times: u32) {
        *self
            .state()
            .orders
            .entry((asset.to_owned(), fault))
            .or_default() += times;
    }

    /// Whether it happens on this occasion. `share` scales the rate, for occasions more frequent than the rate's own.
    pub fn strikes(&self, asset: &str, fault: Fault, share: f64) -> bool {
        let mut state = self.state();
        let rate = state.rates.of(fault) * share;
        if state.orders.is_empty() && rate == 0.0 {
            return false;
        }
        let key = (asset.to_owned(), fault);
        let ordered = match state.orders.get_mut(&key) {
            Some(1) => state.orders.remove(&key).is_some(),
            Some(times) => {
                *times -= 1;
                true
            }
            None => false,
        };
        let strikes = ordered || {
            let seed = self.seed;
            let chance = state.chances.entry(key);
            chance
                .or_insert_with_key(|(asset, fault)| {
                    Chance::new(seed, &format!("{asset}/{}", fault.name()))
                })
                .happens(rate)
        };
        if strikes {
            *state.struck.entry(fault).or_default() += 1;
        }
        strikes
    }

    /// How late a late answer is.
    pub fn lateness(&self, chance: &mut Chance) -> Duration {
        let patience = self.state().rates.patience;
        patience.mul_f64(chance.between(1.5, 3.0))
    }

    /// How often each kind has struck.
    pub fn struck(&self) -> Vec<(Fault, u64)> {
        let state = self.state();
        let count = |fault| (fault, state.struck.get(&fault).copied().unwrap_or(0));
        Fault::ALL
            .into_iter()
            .map(count)
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        let rates: Rates = "late=0.25, wrong-unit=1,patience-ms=250".parse().unwrap();
        assert_eq!(rates.of(Fault::Late), 0.25);
        assert_eq!(rates.of(Fault::WrongUnit), 1.0);
        assert_eq!(rates.of(Fault::Drop), 0.0);
        assert_eq!(rates.patience, Duration::from_millis(250));
        assert_eq!(rates.to_string().parse(), Ok(rates));
        let all: Rates = "all=0.5".parse().unwrap();
        assert!(Fault::ALL.into_iter().all(|fault| all.of(fault) == 0.5));
        assert_eq!("".parse(), Ok(Rates::default()));
        for (text, says) in [
            ("lat=1", "`lat` is not a fault"),
            ("late=2", "`late` cannot be `2`"),
            ("late", "`late` cannot be ``"),
            ("patience-ms=0", "10 to 60000"),
        ] {
            let error = text.parse::<Rates>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn ordered_faults_come_exactly_as_often() {
        let faults = Faults::new(1, Rates::default());
        faults.inject("car-01", Fault::FrameLost, 2);
        let strikes = |asset: &str| faults.strikes(asset, Fault::FrameLost, 1.0);
        assert!(!strikes("car-02"));
        assert_eq!(
            [strikes("car-01"), strikes("car-01"), strikes("car-01")],
            [true, true, false]
        );
        assert_eq!(faults.struck(), [(Fault::FrameLost, 2)]);
    }

    #[test]
    fn rates_are_kept_and_repeat_with_the_seed() {
        let run = |seed| {
            let faults = Faults::new(seed, Rates::default().with(Fault::Drop, 0.1));
            (0..10_000)
                .filter(|_| faults.strikes("charger-01", Fault::Drop, 1.0))
                .count()
        };
        assert!((900..1100).contains(&run(1)));
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
