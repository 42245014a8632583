//! What could not be used: kept with its reason, each payload once, and within a rate for each sender, so that
//! nobody fills the disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use shared_protocol::{Digest, envelope::MAX_ENVELOPE};

use crate::{
    outcome::{Reason, short},
    trouble::Trouble,
};

/// Longest reason for people.
const LONGEST_DETAIL: usize = 1000;
const LONGEST_TOPIC: usize = 200;
/// What one sender may add at once, and then per second, when nobody can say who it is …
const UNBELIEVED: (f64, f64) = (200.0, 1.0 / 30.0);
/// … and when it is the gateway itself.
const BELIEVED: (f64, f64) = (5000.0, 10.0);
/// More senders than any fleet has.
const MOST_SENDERS: usize = 20_000;

/// A row of `telemetry.quarantine`.
#[derive(Clone, Debug)]
pub(crate) struct Unusable {
    pub(crate) digest: Digest,
    pub(crate) gateway: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) closed: bool,
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    pub(crate) topic: String,
    pub(crate) samples: u32,
    pub(crate) payload: Bytes,
}

/// Adds them; a payload that is there already is counted.
pub(crate) async fn write(
    client: &impl GenericClient,
    rows: &[Unusable],
    now: Timestamp,
) -> Result<(), Trouble> {
    if rows.is_empty() {
        return Ok(());
    }
    // A payload once: one statement does not touch a row twice.
    let rows: BTreeMap<Digest, &Unusable> = rows.iter().map(|row| (row.digest, row)).collect();
    let rows = || rows.values();
    let digests: Vec<&[u8]> = rows().map(|row| row.digest.0.as_slice()).collect();
    let gateways: Vec<Option<&str>> = rows().map(|row| row.gateway.as_deref()).collect();
    let numbers: Vec<Option<&str>> = rows().map(|row| row.number.as_deref()).collect();
    let closed: Vec<bool> = rows().map(|row| row.closed).collect();
    let reasons: Vec<&str> = rows().map(|row| row.reason.name()).collect();
    let details: Vec<String> = rows()
        .map(|row| short(&row.detail, LONGEST_DETAIL))
        .collect();
    let topics: Vec<String> = rows().map(|row| short(&row.topic, LONGEST_TOPIC)).collect();
    let samples: Vec<i64> = rows().map(|row| row.samples.into()).collect();
    let sizes: Vec<i32> = rows()
        .map(|row| i32::try_from(row.payload.len()).unwrap_or(i32::MAX))
        .collect();
    let payloads: Vec<&[u8]> = rows()
        .map(|row| &row.payload[..row.payload.len().min(MAX_ENVELOPE)])
        .collect();
    let statement = client
        .prepare_cached(include_str!("../../queries/quarantine.sql"))
        .await?;
    client
        .execute(
            &statement,
            &[
                &digests, &gateways, &numbers, &closed, &reasons, &details, &topics, &samples,
                &sizes, &payloads, &now,
            ],
        )
        .await?;
    Ok(())
}

/// How much each sender may still add.
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<HashMap<(String, bool), (f64, Duration)>>);

impl Budget {
    /// Takes one from the sender's budget; false when there is none left. `now` is monotonic.
    pub(crate) fn take(&self, sender: &str, believed: bool, now: Duration) -> bool {
        let (most, per_second) = if believed { BELIEVED } else { UNBELIEVED };
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() >= MOST_SENDERS {
            senders.clear();
        }
        let (left, since) = senders
            .entry((sender.to_owned(), believed))
            .or_insert((most, now));
        let grown = now.saturating_sub(*since).as_secs_f64() * per_second;
        *left = (*left + grown).min(most);
        *since = now;
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_a_budget_that_comes_back() {
        let budget = Budget::default();
        let start = Duration::from_secs(1000);
        let taken = (0..1000).filter(|_| budget.take("a", false, start)).count();
        assert_eq!(taken, UNBELIEVED.0 as usize);
        assert!(budget.take("b", false, start), "others have their own");
        assert!(budget.take("a", true, start));
        assert!(!budget.take("a", false, start));
        assert!(budget.take("a", false, start + Duration::from_mins(1)));
    }
}
