//! Whether what was stored is what was given.
//!
//! For each column the stored sequence, ordered by time, is aligned with the sequence given: a stored sequence from which
//! values are only missing by taking each value where it first fits, any other with as few differences as possible (Myers'
//! algorithm). What is left of the alignment is counted: a value given and not stored is **lost**; one stored and not given
//! is **duplicated** if the column was given that value more often elsewhere, else **wrong**. A value that is stored in
//! another place than its own is both lost there and wrong here.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use super::{ColumnId, Truth, read::ColumnTruth};

/// Raw integers by column, each ordered by time, in steps of the catalogue's resolution.
pub type Stored = BTreeMap<ColumnId, Vec<i64>>;

/// How long the alignment of one column that is not in order may search for the fewest differences. Beyond it there may be
/// more of them, never fewer: nothing wrong is overlooked.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many findings are kept; what should not be there goes before what is only missing.
const FINDINGS: usize = 20;

/// What was found in one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ColumnReport {
    /// Values given.
    pub produced: u64,
    /// Values stored.
    pub stored: u64,
    /// Given and not stored.
    pub lost: u64,
    /// Stored more often than given.
    pub duplicated: u64,
    /// Stored and not given, or not there.
    pub wrong: u64,
    /// Given in columns of which nothing at all is stored.
    pub unread: u64,
}

/// An example of a difference.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// In which column.
    pub column: ColumnId,
    /// Serial number of the next value given.
    pub serial: usize,
    /// What was given there, up to three values.
    pub given: Vec<i64>,
    /// What is stored there, up to three values.
    pub stored: Vec<i64>,
    /// The fault by which a stored value was withheld from readers.
    pub withheld: Option<String>,
}

/// What was found in all columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Sums of all columns.
    #[serde(flatten)]
    pub total: ColumnReport,
    /// Examples of differences.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether everything that was given is stored, once, in order, and nothing else.
    pub fn is_exact(&self) -> bool {
        let ColumnReport { lost, unread, .. } = self.total;
        lost == 0 && unread == 0 && self.is_subsequence()
    }

    /// Whether everything that is stored was given, in this order: all that can be asked after the reader was killed.
    pub fn is_subsequence(&self) -> bool {
        self.total.duplicated == 0 && self.total.wrong == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ColumnReport {
            produced,
            stored,
            lost,
            duplicated,
            wrong,
            unread,
        } = self.total;
        write!(
            f,
            "{produced} produced, {stored} stored, {lost} lost, {duplicated} duplicated, {wrong} wrong, {unread} unread"
        )?;
        self.findings.iter().try_for_each(|finding| {
            let Finding {
                column,
                serial,
                given,
                stored,
                withheld,
            } = finding;
            write!(
                f,
                "\n  {column} #{serial}: given {given:?}, stored {stored:?}"
            )?;
            withheld
                .iter()
                .try_for_each(|fault| write!(f, " (withheld: {fault})"))
        })
    }
}

/// Compares what is stored with what was given.
pub fn compare(truth: &Truth, stored: &Stored) -> Report {
    let mut report = Report::default();
    let mut known = HashSet::new();
    for column in &truth.columns {
        known.insert(&column.id);
        let given: Vec<i64> = column.given.iter().map(|record| record.raw).collect();
        let kept = stored.get(&column.id).map_or(&[][..], Vec::as_slice);
        report.total.produced += given.len() as u64;
        report.total.stored += kept.len() as u64;
        if kept.is_empty() {
            report.total.unread += given.len() as u64;
        } else if given != kept {
            let ops = align(&given, kept);
            count(&given, kept, &ops, &mut report.total);
            explain(column, &given, kept, &ops, &mut report.findings);
        }
    }
    for (id, kept) in stored {
        if !known.contains(id) && !kept.is_empty() {
            report.total.stored += kept.len() as u64;
            report.total.wrong += kept.len() as u64;
            let finding = Finding {
                column: id.clone(),
                serial: 0,
                given: Vec::new(),
                stored: some(kept),
                withheld: None,
            };
            keep(finding, &mut report.findings);
        }
    }
    report
}

/// The differences between two sequences, in order.
fn align(given: &[i64], stored: &[i64]) -> Vec<DiffOp> {
    if let Some(ops) = only_missing(given, stored) {
        return ops;
    }
    let deadline = Instant::now().checked_add(PATIENCE);
    capture_diff_slices_deadline(Algorithm::Myers, given, stored, deadline)
}

/// The differences if all of `stored` was given in this order: it is then wherever each value first fits, in linear time.
fn only_missing(given: &[i64], stored: &[i64]) -> Option<Vec<DiffOp>> {
    let (mut ops, mut old_index, mut new_index) = (Vec::new(), 0, 0);
    while new_index < stored.len() {
        let missing = given[old_index..]
            .iter()
            .position(|raw| *raw == stored[new_index])?;
        ops.extend(deleted(old_index, missing, new_index));
        old_index += missing;
        let both = given[old_index..].iter().zip(&stored[new_index..]);
        let len = both.take_while(|(given, stored)| given == stored).count();
        ops.push(DiffOp::Equal {
            old_index,
            new_index,
            len,
        });
        (old_index, new_index) = (old_index + len, new_index + len);
    }
    ops.extend(deleted(old_index, given.len() - old_index, new_index));
    Some(ops)
}

fn deleted(old_index: usize, old_len: usize, new_index: usize) -> Option<DiffOp> {
    (old_len > 0).then_some(DiffOp::Delete {
        old_index,
        old_len,
        new_index,
    })
}

fn count(given: &[i64], stored: &[i64], ops: &[DiffOp], total: &mut ColumnReport) {
    let mut missing: HashMap<i64, u64> = HashMap::new();
    let mut extra: HashMap<i64, u64> = HashMap::new();
    for op in ops {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        for raw in &given[op.old_range()] {
            *missing.entry(*raw).or_default() += 1;
            total.lost += 1;
        }
        for raw in &stored[op.new_range()] {
            *extra.entry(*raw).or_default() += 1;
        }
    }
    let ever: HashSet<i64> = given.iter().copied().collect();
    for (raw, times) in extra {
        let displaced = times.min(missing.get(&raw).copied().unwrap_or(0));
        total.wrong += displaced;
        if ever.contains(&raw) {
            total.duplicated += times - displaced;
        } else {
            total.wrong += times - displaced;
        }
    }
}

fn explain(
    column: &ColumnTruth,
    given: &[i64],
    stored: &[i64],
    ops: &[DiffOp],
    findings: &mut Vec<Finding>,
) {
    for op in ops {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let extra = &stored[op.new_range()];
        let withheld = column
            .withheld
            .iter()
            .find(|record| extra.contains(&record.raw));
        let finding = Finding {
            column: column.id.clone(),
            serial: op.old_range().start,
            given: some(&given[op.old_range()]),
            stored: some(extra),
            withheld: withheld.and_then(|record| record.withheld.clone()),
        };
        keep(finding, findings);
    }
}

fn keep(finding: Finding, findings: &mut Vec<Finding>) {
    if findings.len() < FINDINGS {
        findings.push(finding);
    } else if !finding.stored.is_empty()
        && let Some(less) = findings.iter_mut().rfind(|kept| kept.stored.is_empty())
    {
        *less = finding;
    }
}

fn some(values: &[i64]) -> Vec<i64> {
    values.iter().copied().take(3).collect()
}

#[cfg(test)]
mod tests;
