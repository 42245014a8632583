//! What is remembered of a station's transactions, so that each is told once, whatever is sent again.
//!
//! OCPP 1.6 gives `StartTransaction` no key. The same start comes again when its answer was lost: it is the same when
//! connector, token, register and time are the same. In 2.0.1 `transactionId` and `seqNo` are the key.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::meter::Wh;

/// Ended transactions that are remembered of a station: a station sends again what is as old as its queue.
const REMEMBERED: usize = 256;
/// Ends of unknown transactions that are remembered.
const UNKNOWN: usize = 64;

/// One transaction of a station.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its name: the station's own (2.0.1), the number that it was given (1.6), or one made up for an unknown one.
    pub id: String,
    /// The number that it was given, in 1.6.
    pub number: Option<i32>,
    /// Its EVSE (2.0.1) or connector (1.6), when that is known.
    pub evse: Option<i32>,
    /// Whose token began it.
    pub token: Option<String>,
    /// When it began, by the station's clock.
    pub started: Option<Timestamp>,
    /// The register when it began.
    pub first: Option<Wh>,
    /// The register as it was told last.
    pub last: Option<Wh>,
    /// Energy since the beginning. A register that goes back has begun again at 0.
    pub energy: Wh,
    /// How often the register went back.
    pub resets: u32,
    /// Whether it has ended.
    pub ended: bool,
    /// When it ended, by the station's clock.
    pub stopped: Option<Timestamp>,
    /// How many entries there are of it: the number of the next one.
    pub entries: u64,
    /// Sequence numbers that were told (2.0.1), as ranges `first..=last` in order.
    pub seen: Vec<(i32, i32)>,
    /// Fingerprint of its latest meter values (1.6, which numbers nothing).
    pub fingerprint: u64,
}

/// What has happened to a transaction: goes to the cloud as a record. `station`, transaction `id` and `entry` together are its
/// key: a second one with the same key is the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// `transaction.started`, `transaction.updated` or `transaction.ended`.
    pub kind: &'static str,
    /// Its content, a JSON object.
    pub payload: Value,
}

/// What has to be durable before the next effect is carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The transaction as it is now; replaces what was stored under its id.
    pub transaction: Transaction,
    /// Goes to the cloud.
    pub entry: Entry,
    /// What the station has said, in its own words.
    pub said: Option<Said>,
}

/// A request of a station, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// What it asks for.
    pub action: String,
    /// Its payload, a JSON object.
    pub payload: String,
}

/// All that is remembered of a station between its connections.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    transactions: VecDeque<Transaction>,
}

impl Memory {
    /// From what was stored, oldest first.
    pub fn new(stored: impl IntoIterator<Item = Transaction>) -> Self {
        let transactions = stored.into_iter().collect();
        let mut memory = Self { transactions };
        memory.forget();
        memory
    }

    /// The transactions, oldest first.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions.iter()
    }

    /// Transactions that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions.iter().filter(|one| !one.ended)
    }

    pub(crate) fn by_id(&mut self, id: &str) -> Option<&mut Transaction> {
        self.transactions.iter_mut().rev().find(|one| one.id == id)
    }

    pub(crate) fn by_number(&mut self, number: i32) -> Option<&mut Transaction> {
        let mut all = self.transactions.iter_mut().rev();
        all.find(|one| one.number == Some(number))
    }

    /// The transaction that is going on at an EVSE.
    pub(crate) fn at(&mut self, evse: i32) -> Option<&mut Transaction> {
        let mut all = self.transactions.iter_mut().rev();
        all.find(|one| !one.ended && one.evse == Some(evse))
    }

    /// The one transaction that an end without its number can mean: of all that go on, those of this token with a register
    /// and a beginning that fit, if that is one.
    pub(crate) fn meant(
        &mut self,
        token: Option<&str>,
        register: Wh,
        time: Timestamp,
    ) -> Option<&mut Transaction> {
        let fits = |one: &Transaction| {
            !one.ended
                && token.is_none_or(|token| same(one.token.as_deref(), token))
                && one.first.is_none_or(|first| first <= register)
                && one.started.is_none_or(|started| started <= time)
        };
        let mut found = self.transactions.iter_mut().filter(|one| fits(one));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The transaction that the same `StartTransaction` began before.
    pub(crate) fn started(
        &mut self,
        evse: i32,
        token: &str,
        register: Wh,
        time: Timestamp,
    ) -> Option<&mut Transaction> {
        self.transactions.iter_mut().rev().find(|one| {
            one.number.is_some()
                && one.evse == Some(evse)
                && same(one.token.as_deref(), token)
                && one.first == Some(register)
                && one.started == Some(time)
        })
    }

    /// Adds a transaction, and forgets the oldest ended ones when there are many.
    pub(crate) fn add(&mut self, transaction: Transaction) -> &mut Transaction {
        self.transactions.push_back(transaction);
        self.forget();
        self.transactions.back_mut().expect("it was just added")
    }

    fn forget(&mut self) {
        let count = |unknown: bool, all: &VecDeque<Transaction>| {
            let of = |one: &&Transaction| one.ended && one.started.is_none() == unknown;
            all.iter().filter(of).count()
        };
        for (unknown, most) in [(false, REMEMBERED), (true, UNKNOWN)] {
            while count(unknown, &self.transactions) > most {
                let oldest = |one: &Transaction| one.ended && one.started.is_none() == unknown;
                let place = self.transactions.iter().position(oldest);
                self.transactions.remove(place.unwrap_or(0));
            }
        }
    }
}

/// Tokens are compared without case.
fn same(one: Option<&str>, other: &str) -> bool {
    one.is_some_and(|one| one.eq_ignore_ascii_case(other))
}

impl Transaction {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            number: None,
            evse: None,
            token: None,
            started: None,
            first: None,
            last: None,
            energy: Wh(0),
            resets: 0,
            ended: false,
            stopped: None,
            entries: 0,
            seen: Vec::new(),
            fingerprint: 0,
        }
    }

    /// The register was told: energy grows by the difference, or, when it has begun again, by what it shows since.
    pub(crate) fn register(&mut self, now: Wh) {
        let before = *self.last.get_or_insert(now);
        self.first.get_or_insert(now);
        let grown = if now >= before {
            now.0.saturating_sub(before.0)
        } else {
            self.resets = self.resets.saturating_add(1);
            now.0.max(0)
        };
        self.energy = Wh(self.energy.0.saturating_add(grown));
        self.last = Some(now);
    }

    /// A register that was read before all that were told.
    pub(crate) fn earlier(&mut self, then: Wh) {
        if let Some(first) = self.first {
            let grown = first.0.saturating_sub(then.0);
            self.energy = Wh(self.energy.0.saturating_add(grown));
        }
        self.first = Some(then);
    }

    /// Notes a sequence number; false when it was told before.
    pub(crate) fn note(&mut self, number: i32) -> bool {
        let place = self.seen.partition_point(|&(_, last)| last < number);
        if self
            .seen
            .get(place)
            .is_some_and(|&(first, _)| first <= number)
        {
            return false;
        }
        self.seen.insert(place, (number, number));
        let follows = |a: (i32, i32), b: (i32, i32)| a.1.checked_add(1) == Some(b.0);
        if place + 1 < self.seen.len() && follows(self.seen[place], self.seen[place + 1]) {
            self.seen[place].1 = self.seen.remove(place + 1).1;
        }
        if place > 0 && follows(self.seen[place - 1], self.seen[place]) {
            self.seen[place - 1].1 = self.seen.remove(place).1;
        }
        true
    }

    /// Numbers an entry, and says what is to be stored. `more` is what this kind of entry tells besides.
    pub(crate) fn write(&mut self, station: &str, kind: &'static str, more: Value) -> Write {
        let mut payload = json!({
            "station": station,
            "transaction": self.id,
            "entry": self.entries,
            "evse": self.evse,
            "token": self.token,
            "started": self.started,
            "register_mwh": self.last,
            "energy_mwh": self.energy,
            "register_resets": self.resets,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut payload, more) {
            all.extend(more);
            all.retain(|_, value| !value.is_null());
        }
        self.entries += 1;
        Write {
            transaction: self.clone(),
            entry: Entry { kind, payload },
            said: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_register_that_begins_again_loses_nothing_that_it_shows() {
        let mut one = Transaction::new("1".into());
        for register in [1000, 1500, 1500, 200, 700] {
            one.register(Wh::whole(register));
        }
        assert_eq!((one.energy, one.resets), (Wh::whole(1200), 1));
        assert_eq!(
            (one.first, one.last),
            (Some(Wh::whole(1000)), Some(Wh::whole(700)))
        );
    }

    #[test]
    fn many_transactions_are_not_remembered_for_ever() {
        let mut memory = Memory::default();
        for number in 0..1000 {
            let mut one = Transaction::new(number.to_string());
            one.ended = number != 3;
            one.started = (number % 2 == 0).then_some(Timestamp::UNIX_EPOCH);
            memory.add(one);
        }
        assert_eq!(memory.transactions().count(), REMEMBERED + UNKNOWN + 1);
        assert!(memory.by_id("3").is_some() && memory.by_id("999").is_some());
        assert!(memory.by_id("0").is_none());
    }

    proptest! {
        #[test]
        fn each_sequence_number_counts_once(numbers in proptest::collection::vec(-5i32..40, 0..120)) {
            let mut one = Transaction::new("a".into());
            let mut model = std::collections::BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(one.note(number), model.insert(number));
            }
            let held: Vec<i32> = one.seen.iter().flat_map(|&(first, last)| first..=last).collect();
            prop_assert!(held.iter().eq(model.iter()));
        }
    }
}
