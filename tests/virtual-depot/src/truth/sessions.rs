//! The truth of charging transactions (`transactions.jsonl`), and the comparison with what somebody stored of them.
//!
//! One line for each that has ended, and, when the depot stops, one for each that has not.
//!
//! ```text
//! {"station":"CP-01","evse":1,"token":"CAR-07","car":"car-07","started":"2026-05-04T10:00:00.1Z",
//!  "ended":"2026-05-04T11:30:00.7Z","reason":"EVDisconnected","energy_wh":9411}
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use super::observed;

/// A charging transaction.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Session {
    /// The station, as it calls itself.
    pub station: String,
    /// EVSE or connector.
    pub evse: i32,
    /// The token that was shown; `None`: the station tells nothing, its transactions are made of what is read of it.
    pub token: Option<String>,
    /// The car that was plugged in.
    pub car: String,
    /// When it began; no two of a station begin together.
    pub started: Timestamp,
    /// When it ended; `None`: it goes on.
    pub ended: Option<Timestamp>,
    /// Why it ended, in OCPP's words.
    pub reason: Option<String>,
    /// Energy, in Wh: the difference of a register that counts them.
    pub energy_wh: i64,
}

/// The file.
#[derive(Debug)]
pub struct SessionLog {
    file: Mutex<(File, io::Result<()>)>,
}

impl SessionLog {
    /// Begins a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(Self {
            file: Mutex::new((file, Ok(()))),
        })
    }

    /// Writes one down.
    pub fn write(&self, session: &Session) {
        let mut inner = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, failure) = &mut *inner;
        let text = serde_json::to_string(session).map_err(io::Error::from);
        let written = text.and_then(|text| writeln!(file, "{text}"));
        if failure.is_ok() {
            *failure = written;
        }
    }

    /// An error if anything could not be written since the start.
    pub fn finish(&self) -> io::Result<()> {
        let mut inner = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut inner.1, Ok(()))
    }
}

/// Reads a file.
pub fn read(path: &Path) -> io::Result<Vec<Session>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.is_empty());
    let each = lines.map(|line| serde_json::from_str(line).map_err(io::Error::from));
    each.collect()
}

/// A transaction as somebody has stored it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSession {
    /// The station.
    pub station: String,
    /// EVSE or connector.
    pub evse: Option<i32>,
    /// The token.
    pub token: Option<String>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Energy, in mWh.
    pub energy_mwh: i64,
    /// Whether all of it was told.
    pub whole: bool,
}

/// What a comparison has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionReport {
    /// Transactions that are stored as they were.
    pub right: usize,
    /// Their energy, in Wh.
    pub energy_wh: i64,
    /// How many of them were at stations that tell nothing.
    pub observed: usize,
    /// How many of these say themselves that they may be of several cars: nobody looked for a while.
    pub doubtful: usize,
    /// Stored nowhere.
    pub lost: Vec<Session>,
    /// Stored more than once.
    pub twice: Vec<Session>,
    /// Stored otherwise than they were.
    pub wrong: Vec<(Session, StoredSession)>,
    /// Stored, and never were.
    pub made_up: Vec<StoredSession>,
}

impl SessionReport {
    /// None lost, none twice, none wrong.
    pub fn is_exact(&self) -> bool {
        self.lost.is_empty()
            && self.twice.is_empty()
            && self.wrong.is_empty()
            && self.made_up.is_empty()
    }
}

impl fmt::Display for SessionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} charging transactions of {} Wh ({} at stations that tell nothing, {} of them perhaps of several cars): {} lost, {} twice, {} wrong, {} that never were",
            self.right,
            self.energy_wh,
            self.observed,
            self.doubtful,
            self.lost.len(),
            self.twice.len(),
            self.wrong.len(),
            self.made_up.len()
        )?;
        let lost = self.lost.iter().map(|one| format!("lost: {one:?}"));
        let twice = self.twice.iter().map(|one| format!("twice: {one:?}"));
        let wrong = self.wrong.iter();
        let wrong = wrong.map(|(truth, stored)| format!("wrong: {truth:?} as {stored:?}"));
        let made_up = self.made_up.iter();
        let made_up = made_up.map(|one| format!("never was: {one:?}"));
        lost.chain(twice)
            .chain(wrong)
            .chain(made_up)
            .take(10)
            .try_for_each(|line| write!(f, "\n{line}"))
    }
}

fn same(truth: &Session, stored: &StoredSession) -> bool {
    stored.evse == Some(truth.evse)
        && stored.token == truth.token
        && stored.ended == truth.ended
        && stored.reason == truth.reason
        && stored.energy_mwh == truth.energy_wh * 1000
        && stored.whole
}

/// Compares what is stored with the truth. Transactions that went on when the depot stopped are left out: nobody knows how much
/// of them was told. Stations that tell nothing are compared by [`observed`].
pub fn compare(truth: &[Session], stored: &[StoredSession]) -> SessionReport {
    let mut report = SessionReport::default();
    let silent: BTreeSet<&str> = truth
        .iter()
        .filter(|one| one.token.is_none())
        .map(|one| one.station.as_str())
        .collect();
    for station in &silent {
        let mut sessions: Vec<_> = truth.iter().filter(|one| one.station == *station).collect();
        let mut found: Vec<_> = stored
            .iter()
            .filter(|one| one.station == *station)
            .collect();
        sessions.sort_by_key(|one| one.started);
        found.sort_by_key(|one| one.ended);
        observed::compare(&sessions, &found, &mut report);
    }
    let tells = |station: &str| !silent.contains(station);
    let key = |station: &str, started: Option<Timestamp>| (station.to_owned(), started);
    let mut by_key: BTreeMap<_, Vec<&StoredSession>> = BTreeMap::new();
    for one in stored.iter().filter(|one| tells(&one.station)) {
        let place = by_key.entry(key(&one.station, one.started));
        place.or_default().push(one);
    }
    for one in truth.iter().filter(|one| tells(&one.station)) {
        let found = by_key.remove(&key(&one.station, Some(one.started)));
        let found = found.unwrap_or_default();
        if one.ended.is_none() {
            continue;
        }
        match found[..] {
            [] => report.lost.push(one.clone()),
            [stored] if same(one, stored) => {
                report.right += 1;
                report.energy_wh += one.energy_wh;
            }
            [stored] => report.wrong.push((one.clone(), stored.clone())),
            _ => report.twice.push(one.clone()),
        }
    }
    let made_up = by_key.into_values().flatten().cloned();
    report.made_up.extend(made_up);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(second: i64) -> Session {
        let at = |second| Timestamp::from_second(1_800_000_000 + second).unwrap();
        Session {
            station: "CP".into(),
            evse: 1,
            token: Some("CAR-1".into()),
            car: "car-1".into(),
            started: at(second),
            ended: Some(at(second + 60)),
            reason: Some("Local".into()),
            energy_wh: 1234,
        }
    }

    fn stored(truth: &Session) -> StoredSession {
        StoredSession {
            station: truth.station.clone(),
            evse: Some(truth.evse),
            token: truth.token.clone(),
            started: Some(truth.started),
            ended: truth.ended,
            reason: truth.reason.clone(),
            energy_mwh: truth.energy_wh * 1000,
            whole: true,
        }
    }

    #[test]
    fn what_is_lost_twice_wrong_or_made_up_is_found() {
        let all = [truth(0), truth(100), truth(200), truth(300)];
        let mut kept: Vec<_> = all.iter().map(stored).collect();
        assert!(compare(&all, &kept).is_exact());
        assert_eq!(compare(&all, &kept).energy_wh, 4 * 1234);
        kept[1].energy_mwh += 1;
        kept[2].whole = false;
        let again = kept[3].clone();
        kept.push(again);
        kept.remove(0);
        kept.push(stored(&truth(400)));
        let report = compare(&all, &kept);
        assert_eq!(report.lost, [truth(0)]);
        assert_eq!(report.twice, [truth(300)]);
        assert_eq!((report.wrong.len(), report.right), (2, 0));
        assert_eq!(report.made_up, [stored(&truth(400))]);
        let mut open = truth(0);
        open.ended = None;
        assert!(compare(&[open], &[]).is_exact());
    }
}
