//! How many blocks that may be dropped may be with somebody who has not said a word on them.
//!
//! What was handed out and then dropped leaves a record of its own (`gaps.rs`), which never becomes one with those beside it: only
//! a verdict on it tells whether the cloud has the block. A link that comes and goes would leave one each time, and a year of that
//! would fill the card with records. So no more than [`MOST`] of a priority are out at any time, over all connections and runs:
//! then nothing new is handed out, and what is out goes out again, until the cloud's word on it comes. Between two of
//! them all records are one, so there are no more than twice as many.

use std::{cell::RefCell, collections::BTreeMap};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    error::StoreError,
    quota::CHEAP,
    store::{TO_SEND, UNSEEN},
};

/// So many blocks and records of a priority are out at most.
pub(super) const MOST: usize = 1024;
/// A run that finds as many, or more (an older gateway, or a damaged database that was saved, may have left them), may hand out
/// so many of its own: more than ever wait for the cloud's word on one connection.
pub(super) const LEAST: usize = 128;

/// What is out of one priority.
#[derive(Debug, Default)]
struct Out {
    /// Rows by their place. Some may have been settled, or have grown together, since they were last counted.
    rows: BTreeMap<i64, i64>,
    most: usize,
}

/// What somebody may have, of the priorities that may be dropped.
#[derive(Debug, Default)]
pub(super) struct Shown {
    of: [Out; CHEAP.len()],
    /// The ledger has changed since rows were last counted.
    changed: bool,
    /// Something was not handed out for want of room here.
    withheld: bool,
}

fn index(priority: u8) -> Option<usize> {
    CHEAP.iter().position(|cheap| *cheap == priority)
}

impl Shown {
    /// What earlier runs have left: of a priority the oldest ones, as many as may be out.
    pub(super) fn before(connection: &Connection) -> Result<RefCell<Self>, StoreError> {
        let mut shown = Self::default();
        let mut statement = connection.prepare(&format!(
            "SELECT place, id FROM block WHERE state = {TO_SEND} AND priority = ?1 AND offered <> {UNSEEN} ORDER BY place LIMIT ?2"
        ))?;
        for (out, priority) in shown.of.iter_mut().zip(CHEAP) {
            let rows = statement.query_map(params![priority, MOST as u32], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            out.rows = rows.collect::<Result<_, _>>()?;
            out.most = MOST.max(out.rows.len() + LEAST);
        }
        Ok(RefCell::new(shown))
    }

    /// Takes a place for a row that may be handed out from now on; false when there is none.
    pub(super) fn take(&mut self, priority: u8, place: i64, id: i64) -> bool {
        let Some(out) = index(priority).map(|index| &mut self.of[index]) else {
            return true;
        };
        if out.rows.len() < out.most || out.rows.contains_key(&place) {
            out.rows.insert(place, id);
            return true;
        }
        self.withheld = true;
        false
    }

    /// How many more of a priority may be handed out.
    pub(super) fn room(
        &mut self,
        connection: &Connection,
        priority: u8,
    ) -> Result<usize, StoreError> {
        let Some(index) = index(priority) else {
            return Ok(usize::MAX);
        };
        if self.of[index].rows.len() >= self.of[index].most && self.changed {
            self.count(connection)?;
        }
        let out = &self.of[index];
        Ok(out.most.saturating_sub(out.rows.len()))
    }

    /// Something has to wait until there is room again.
    pub(super) fn withhold(&mut self) {
        self.withheld = true;
    }

    /// A commit has changed the ledger. Tells whether there is plenty of room again for what had to wait.
    pub(super) fn committed(&mut self, connection: &Connection) -> Result<bool, StoreError> {
        self.changed = true;
        if !self.withheld {
            return Ok(false);
        }
        self.count(connection)?;
        let eased = |out: &Out| out.rows.len() <= out.most / 2;
        self.withheld = !self.of.iter().all(eased);
        Ok(!self.withheld)
    }

    /// The rows that are out after a place, in the order of their places; of a range that begins before it, what is behind it.
    pub(super) fn after(&self, priority: u8, place: i64) -> Vec<i64> {
        let Some(index) = index(priority) else {
            return Vec::new();
        };
        let rows = &self.of[index].rows;
        let before = rows.range(..=place).next_back();
        let behind = rows.range(place.saturating_add(1)..);
        before
            .into_iter()
            .chain(behind)
            .map(|(_, id)| *id)
            .collect()
    }

    /// Counts anew: rows that the cloud has answered, or that are part of a record nobody has, are not out any more.
    fn count(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT place FROM block WHERE id = ?1 AND state = {TO_SEND} AND offered <> {UNSEEN}"
        ))?;
        for out in &mut self.of {
            let mut rows = BTreeMap::new();
            for id in out.rows.values() {
                let place = statement.query_row([id], |row| row.get(0)).optional()?;
                rows.extend(place.map(|place: i64| (place, *id)));
            }
            out.rows = rows;
        }
        self.changed = false;
        Ok(())
    }
}
