//! Transactions of a station that tells none: made of what is read of it, status and energy register.
//!
//! Its registers say that there is a car, not which one: while they are read often enough one cannot have taken another's
//! place unseen. A transaction over which nobody looked for longer is told as incomplete: it may be of several cars. Whatever
//! is missed, the register counts on, so that the energy of all transactions is what it has counted while cars were there. What
//! it cannot have counted is not believed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    meter::Wh,
    station::Now,
    transaction::{Memory, Transaction, Write},
};

/// Nobody pulls a plug, drives away, and has another car plugged in in less.
const SWAP: Duration = Duration::from_secs(8);
/// So many looks may fail before nobody looks, where a station is read seldom.
const LOOKS: u32 = 3;
/// How long after a car's end its register may still grow for it: some stations write theirs every quarter of a minute.
const LATE: Duration = Duration::from_secs(60);
/// No station delivers more, in W.
const MOST: i64 = 1_000_000;
/// What a register cannot have counted is believed when it goes on from there for so long: the meter is another one. What shows for
/// a moment, as with some that start, is nothing.
const INSISTS: Duration = Duration::from_secs(30);
/// A transaction that goes on is told again after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// What was read of a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Status of its connector, by its number among those of OCPP 1.6 §7.7 from 0.
    pub status: i64,
    /// Its energy register.
    pub register: Wh,
}

impl Seen {
    /// Whether there is a car in a transaction; `None`: Unavailable and Faulted tell nothing of it.
    fn car(self) -> Option<bool> {
        match self.status {
            // Preparing, Charging, SuspendedEVSE, SuspendedEV.
            1..=4 => Some(true),
            // Available, Finishing, Reserved.
            0 | 5 | 6 => Some(false),
            _ => None,
        }
    }
}

/// How a station was left when nobody looked any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Its energy register.
    pub register: Wh,
    /// When that was read, if the time of day was known.
    pub read: Option<Timestamp>,
}

/// Makes the transactions of one station.
#[derive(Debug)]
pub struct Observer {
    station: String,
    swap: Duration,
    /// Names of transactions begin with it.
    run: u64,
    begun: u64,
    open: Option<Open>,
    ended: Option<Ended>,
    /// The look before this one, or what is remembered of it.
    rest: Option<Rest>,
    looked: Option<Duration>,
    /// A register that cannot be: what it showed last, since when it is so, and when that was read.
    strange: Option<(Wh, Duration, Duration)>,
}

#[derive(Debug)]
struct Open {
    transaction: Transaction,
    /// When it began, if that was in this run.
    began: Option<Duration>,
    told: Duration,
}

/// The latest that has ended, while its register may still grow.
#[derive(Debug)]
struct Ended {
    transaction: Transaction,
    at: Duration,
    reason: Option<&'static str>,
}

impl Observer {
    /// Goes on where an earlier run has left a station: with its transactions, and how it was left. It is read every
    /// `interval`. `run` is a number that no other run has.
    pub fn new(
        station: &str,
        memory: &Memory,
        rest: Option<Rest>,
        interval: Duration,
        run: u64,
    ) -> Self {
        let open = memory.open().last().map(|transaction| Open {
            transaction: transaction.clone(),
            began: None,
            told: Duration::ZERO,
        });
        let latest = memory.transactions().last().filter(|one| one.ended);
        let ended = latest.map(|transaction| Ended {
            transaction: transaction.clone(),
            at: Duration::ZERO,
            reason: None,
        });
        // What was stored last may be newer than how the station was said to be left.
        let told = memory.transactions().filter_map(|one| one.last).max();
        let register = rest.map(|rest| rest.register).max(told);
        let read = rest.and_then(|rest| rest.read);
        Self {
            station: station.to_owned(),
            swap: SWAP.max(interval * LOOKS),
            run,
            begun: 0,
            open,
            ended,
            rest: register.map(|register| Rest { register, read }),
            looked: None,
            strange: None,
        }
    }

    /// How the station was when it was looked at last, or as it was remembered.
    pub const fn rest(&self) -> Option<Rest> {
        self.rest
    }

    /// The transaction that goes on.
    pub fn open(&self) -> Option<&Transaction> {
        self.open.as_ref().map(|open| &open.transaction)
    }

    /// Looks at the station: what is to be stored, in this order. What could not be stored is lost to the cloud's count of
    /// entries, not to the energy.
    pub fn look(&mut self, now: Now, seen: Seen) -> Vec<Write> {
        let Some(car) = seen.car() else {
            return Vec::new();
        };
        if !self.is_believed(now, seen.register) {
            return Vec::new();
        }
        let watched = self.is_watched(now);
        let before = self.rest.replace(Rest {
            register: seen.register,
            read: now.wall,
        });
        self.looked = Some(now.mono);
        let before = before.map(|rest| rest.register);
        let write = match (car, self.open.take()) {
            (true, Some(open)) => self.goes_on(now, seen, open, watched),
            (true, None) => Some(self.begins(now, seen, before, watched)),
            (false, Some(open)) => {
                let missed = !watched && before != Some(seen.register);
                Some(self.ends(now, seen, open, missed))
            }
            (false, None) => {
                let grown = before.filter(|before| *before < seen.register);
                grown.and_then(|before| self.grows(now, seen, before, watched))
            }
        };
        Vec::from_iter(write)
    }

    /// Whether no other car can have come since the look before.
    fn is_watched(&self, now: Now) -> bool {
        if let Some(looked) = self.looked {
            return now.mono.saturating_sub(looked) <= self.swap;
        }
        // Before this run: by the time of day.
        let read = self.rest.and_then(|rest| rest.read);
        let since = read
            .zip(now.wall)
            .map(|(read, wall)| wall.duration_since(read));
        since.is_some_and(|since| !since.is_negative() && since.unsigned_abs() <= self.swap)
    }

    /// Whether the register can be what the meter has counted since. One that insists is believed, and counts from there on.
    fn is_believed(&mut self, now: Now, register: Wh) -> bool {
        let since = |then: Duration| now.mono.saturating_sub(then);
        // Before this run any time may have passed.
        let known = self
            .rest
            .map(|rest| (rest.register, self.looked.map(since)));
        if known.is_none_or(|(before, since)| can_become(before, register, since)) {
            self.strange = None;
            return true;
        }
        let follows = self
            .strange
            .filter(|(last, _, read)| can_become(*last, register, Some(since(*read))));
        let begun = follows.map_or(now.mono, |(_, begun, _)| begun);
        self.strange = Some((register, begun, now.mono));
        if since(begun) < INSISTS {
            return false;
        }
        self.strange = None;
        if let Some(rest) = &mut self.rest {
            rest.register = register;
        }
        if let Some(Open { transaction, .. }) = &mut self.open {
            transaction.resets = transaction.resets.saturating_add(1);
            transaction.last = Some(register);
        }
        self.ended = None;
        true
    }

    fn begins(&mut self, now: Now, seen: Seen, before: Option<Wh>, watched: bool) -> Write {
        let mut transaction = self.named();
        transaction.register(before.unwrap_or(seen.register));
        transaction.register(seen.register);
        transaction.started = now.wall;
        // What flowed while nobody looked may be another car's.
        let missed = !watched && before != Some(seen.register);
        let more = json!({ "time": now.wall, "incomplete": missed.then_some(true) });
        let write = transaction.write(&self.station, "transaction.started", more);
        self.ended = None;
        self.open = Some(Open {
            transaction,
            began: Some(now.mono),
            told: now.mono,
        });
        write
    }

    fn goes_on(&mut self, now: Now, seen: Seen, mut open: Open, watched: bool) -> Option<Write> {
        open.transaction.register(seen.register);
        open.dated(now);
        let due = !watched || now.mono.saturating_sub(open.told) >= AGAIN;
        let write = due.then(|| {
            open.told = now.mono;
            let more = json!({ "time": now.wall, "incomplete": (!watched).then_some(true) });
            open.transaction
                .write(&self.station, "transaction.updated", more)
        });
        self.open = Some(open);
        write
    }

    fn ends(&mut self, now: Now, seen: Seen, mut open: Open, missed: bool) -> Write {
        open.dated(now);
        let mut transaction = open.transaction;
        transaction.register(seen.register);
        transaction.ended = true;
        transaction.stopped = now.wall;
        // Finishing may have any reason; a free connector has one.
        let reason = (seen.status != 5).then_some("EVDisconnected");
        let more =
            json!({ "time": now.wall, "reason": reason, "incomplete": missed.then_some(true) });
        let write = transaction.write(&self.station, "transaction.ended", more);
        self.ended = Some(Ended {
            transaction,
            at: now.mono,
            reason,
        });
        write
    }

    /// The register grows while there is no car: late, or for one that nobody has seen. What it grows by later on is the
    /// station's own.
    fn grows(&mut self, now: Now, seen: Seen, before: Wh, watched: bool) -> Option<Write> {
        if !watched {
            let mut transaction = self.named();
            transaction.register(before);
            transaction.register(seen.register);
            transaction.ended = true;
            transaction.stopped = now.wall;
            self.ended = None;
            let more = json!({ "time": now.wall, "incomplete": true });
            return Some(transaction.write(&self.station, "transaction.ended", more));
        }
        let late = |ended: &&mut Ended| now.mono.saturating_sub(ended.at) <= LATE;
        let ended = self.ended.as_mut().filter(late)?;
        ended.transaction.register(seen.register);
        let more = json!({ "time": ended.transaction.stopped, "reason": ended.reason });
        Some(
            ended
                .transaction
                .write(&self.station, "transaction.ended", more),
        )
    }

    fn named(&mut self) -> Transaction {
        self.begun += 1;
        let mut transaction = Transaction::new(format!("{:016x}-{}", self.run, self.begun));
        // A map of registers has one connector.
        transaction.evse = Some(1);
        transaction
    }
}

/// Whether a register that showed the one can show the other after this time; `None`: after any.
fn can_become(before: Wh, after: Wh, since: Option<Duration>) -> bool {
    let grown = after.0.saturating_sub(before.0);
    let most = |since: Duration| {
        // A station may write its register late.
        let seconds = i64::try_from((since + LATE).as_secs()).unwrap_or(i64::MAX);
        Wh::whole(seconds.saturating_mul(MOST) / 3600).0
    };
    grown >= 0 && since.is_none_or(|since| grown <= most(since))
}

impl Open {
    /// A beginning before the time of day was known has one once it is.
    fn dated(&mut self, now: Now) {
        if let (None, Some(began), Some(wall)) = (self.transaction.started, self.began, now.wall) {
            let since = SignedDuration::try_from(now.mono.saturating_sub(began)).ok();
            self.transaction.started = since.and_then(|since| wall.checked_sub(since).ok());
        }
    }
}
