//! A file comes in once.
//!
//! 1. [`check`] reads all of it and stores nothing: a file with anything wrong in it changes nothing.
//! 2. [`import`] reads it again and stores, a transaction at a time, what is not there yet. Ended in between, it has stored
//!    whole transactions; doing it again stores the rest.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use platform::{Backoff, Db, DbError, Failure};
use telemetry::samples::{self, AddError, Sample};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    Fault, Format,
    file::Reader,
    row::{Row, wrong},
};

/// Samples of one transaction, but for those that belong to the instant of the last.
const BATCH: usize = 10_000;
/// Most samples of one asset at one instant.
const MOST_AT_ONCE: usize = 100_000;
/// Faults that are told at once.
const MOST_FAULTS: usize = 20;
/// Longest that one transaction may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the samples of a file go.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The assets of the organisation: number and name.
    pub assets: BTreeMap<i32, String>,
    /// Asset of the file, asset of the organisation. An asset that is not named keeps its number, and must have its name.
    pub to: BTreeMap<i32, i32>,
    /// How many samples the file has to have.
    pub rows: Option<u64>,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many samples.
    pub samples: u64,
    /// Of which assets of the organisation, ascending.
    pub assets: Vec<i32>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Samples of the file.
    pub samples: u64,
    /// Those of them that were not there yet.
    pub new: u64,
}

/// Why a file is not taken; nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect::<Vec<_>>().join("\n"))]
pub struct Refusal {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; the first of them.
    pub faults: Vec<Fault>,
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing was stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing was stored: what nobody would know of does not come in.
    #[error("that it is imported cannot be noted: {0}")]
    Noted(#[source] DbError),
    /// Part of it is stored.
    #[error(
        "{reason}. Of the first {} samples {} were not there yet and are stored now, of the others none; import it again to store the rest", .done.samples, .done.new
    )]
    Stopped {
        /// Why.
        reason: String,
        /// What is stored.
        done: Imported,
    },
}

/// The rows of a file as samples of the organisation, judged.
struct Judged<'a> {
    reader: Reader,
    format: Format,
    plan: &'a Plan,
    now: Timestamp,
    /// Assets of the file whose name and place are right.
    seen: HashMap<i32, i32>,
    last: Option<(Timestamp, i32)>,
    at_once: usize,
}

impl<'a> Judged<'a> {
    fn open(path: &Path, format: Format, plan: &'a Plan, now: Timestamp) -> Result<Self, Fault> {
        Ok(Self {
            reader: Reader::open(path, format)?,
            format,
            plan,
            now,
            seen: HashMap::new(),
            last: None,
            at_once: 0,
        })
    }

    fn judge(&mut self, at: u64, row: Row) -> Result<Sample, Fault> {
        let key = (row.sample.time, row.sample.asset);
        if self.last.is_some_and(|last| key < last) {
            let reason = "rows come in the order of time, then of asset: sort the file";
            return Err(self.format.fault(at, wrong("time", reason)));
        }
        if self.last.replace(key) != Some(key) {
            self.at_once = 0;
        }
        self.at_once += 1;
        if self.at_once > MOST_AT_ONCE {
            let reason = format!(
                "asset {} has more than {MOST_AT_ONCE} samples at {}",
                key.1, key.0
            );
            return Err(self.format.end(Some(at), reason));
        }
        let asset = self.asset(at, &row)?;
        let sample = Sample {
            asset,
            ..row.sample
        };
        samples::check(&sample, self.now)
            .map_err(|why| self.format.fault(at, wrong("raw", why)))?;
        Ok(sample)
    }

    /// The asset of the organisation that an asset of the file is.
    fn asset(&mut self, at: u64, row: &Row) -> Result<i32, Fault> {
        let number = row.sample.asset;
        if let Some(asset) = self.seen.get(&number) {
            return Ok(*asset);
        }
        let name = &row.asset_name;
        let unknown = |reason: String| Err(self.format.fault(at, wrong("asset", reason)));
        let asset = match self.plan.to.get(&number) {
            Some(asset) => *asset,
            None => match self.plan.assets.get(&number) {
                Some(known) if **known == **name => number,
                Some(known) => {
                    return unknown(format!(
                        "{number} is `{known}` here and `{name}` in the file: say which asset it is (--asset {number}=NUMBER)"
                    ));
                }
                None => {
                    return unknown(format!(
                        "the organisation has no asset {number} (`{name}` in the file): say which one it is (--asset {number}=NUMBER)"
                    ));
                }
            },
        };
        if self.seen.values().any(|other| *other == asset) {
            return unknown(format!("two assets of the file would become asset {asset}"));
        }
        self.seen.insert(number, asset);
        Ok(asset)
    }
}

impl Iterator for Judged<'_> {
    type Item = Result<Sample, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.reader.next()? {
            Ok((at, row)) => self.judge(at, row),
            Err(fault) => Err(fault),
        })
    }
}

/// What is wrong with the plan itself.
fn plan_fault(plan: &Plan, format: Format) -> Option<Fault> {
    let mut targets = HashSet::new();
    for (from, to) in &plan.to {
        if !plan.assets.contains_key(to) {
            let reason = format!("--asset {from}={to}: the organisation has no asset {to}");
            return Some(format.end(None, reason));
        }
        if !targets.insert(to) {
            let reason = format!("two assets of the file would become asset {to}");
            return Some(format.end(None, reason));
        }
    }
    None
}

/// Reads a file to its end and stores nothing. Its samples have to fit the organisation, the catalogue and the time.
pub fn check(path: &Path, format: Format, plan: &Plan, now: Timestamp) -> Result<Checked, Refusal> {
    let refusal = |faults| Refusal {
        path: path.to_owned(),
        faults,
    };
    if let Some(fault) = plan_fault(plan, format) {
        return Err(refusal(vec![fault]));
    }
    let mut rows = Judged::open(path, format, plan, now).map_err(|fault| refusal(vec![fault]))?;
    let mut faults = Vec::new();
    let mut samples = 0;
    for row in rows.by_ref() {
        samples += 1;
        if let Err(fault) = row {
            let last = fault.last;
            faults.push(fault);
            if last || faults.len() == MOST_FAULTS {
                break;
            }
        }
    }
    if faults.is_empty()
        && let Some(expected) = plan.rows
        && expected != samples
    {
        let reason =
            format!("it has {samples} samples, not {expected}: it was cut off, or is another file");
        faults.push(format.end(None, reason));
    }
    if faults.is_empty() {
        let mut assets: Vec<i32> = rows.seen.into_values().collect();
        assets.sort_unstable();
        Ok(Checked { samples, assets })
    } else {
        Err(refusal(faults))
    }
}

/// What the thread that reads gives to the one that stores.
type Batch = Result<Vec<Sample>, Fault>;

/// Stores those samples of a file that are not there yet. What was checked is noted before the first of them is stored.
pub async fn import(
    db: &Db,
    path: &Path,
    format: Format,
    plan: Plan,
    now: Timestamp,
    note: impl AsyncFnOnce(Checked) -> Result<(), DbError>,
) -> Result<Imported, ImportError> {
    let file = path.to_owned();
    let looked =
        tokio::task::spawn_blocking(move || Ok((check(&file, format, &plan, now)?, file, plan)));
    // A reader of a format that panics has found a file that is none.
    let looked: Result<_, Refusal> = looked.await.map_err(|error| Refusal {
        path: path.to_owned(),
        faults: vec![format.end(None, format!("it cannot be read: {error}"))],
    })?;
    let (checked, file, plan) = looked?;
    note(checked).await.map_err(ImportError::Noted)?;
    let (sender, mut batches) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || read(&file, format, &plan, now, &sender));
    let mut done = Imported { samples: 0, new: 0 };
    let stopped = |reason: String, done| Err(ImportError::Stopped { reason, done });
    while let Some(batch) = batches.recv().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(fault) => {
                return stopped(
                    format!("{}: it was changed meanwhile: {fault}", path.display()),
                    done,
                );
            }
        };
        match add(db, &batch, now).await {
            Ok(new) => {
                done.samples += batch.len() as u64;
                done.new += new;
            }
            Err(reason) => return stopped(reason, done),
        }
    }
    match reading.await {
        Ok(()) => Ok(done),
        Err(error) => stopped(error.to_string(), done),
    }
}

/// Reads a file that was checked, a batch at a time.
fn read(path: &Path, format: Format, plan: &Plan, now: Timestamp, to: &mpsc::Sender<Batch>) {
    let rows = match Judged::open(path, format, plan, now) {
        Ok(rows) => rows,
        Err(fault) => {
            // Nobody listens any more: then nobody wants to know.
            let _ = to.blocking_send(Err(fault));
            return;
        }
    };
    let mut batch: Vec<Sample> = Vec::new();
    for row in rows {
        let sample = match row {
            Ok(sample) => sample,
            Err(fault) => {
                let _ = to.blocking_send(Err(fault));
                return;
            }
        };
        let instant = |sample: &Sample| (sample.time, sample.asset);
        if batch.len() >= BATCH
            && batch.last().map(instant) != Some(instant(&sample))
            && to.blocking_send(Ok(std::mem::take(&mut batch))).is_err()
        {
            return;
        }
        batch.push(sample);
    }
    if !batch.is_empty() {
        let _ = to.blocking_send(Ok(batch));
    }
}

/// One transaction, tried again as long as that can help. Whether one that broke off was committed does not matter: what it
/// stored is found there.
async fn add(db: &Db, batch: &[Sample], now: Timestamp) -> Result<u64, String> {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5), 10);
    loop {
        let attempt = timeout(PATIENCE, attempt(db, batch, now)).await;
        let detail = match attempt {
            Ok(Ok(new)) => return Ok(new),
            Ok(Err(error)) if !error.can_be_tried() => return Err(error.to_string()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the database did not answer within {PATIENCE:?}"),
        };
        match backoff.wait() {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(detail),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Add(#[from] AddError),
}

impl Problem {
    fn can_be_tried(&self) -> bool {
        match self {
            Self::Db(_) => true,
            Self::Add(error) => matches!(error.failure(), Failure::Conflict | Failure::Connection),
        }
    }
}

async fn attempt(db: &Db, batch: &[Sample], now: Timestamp) -> Result<u64, Problem> {
    let mut client = db.system().await?;
    Ok(samples::add_missing(&mut client, batch, now).await?)
}
