//! The transaction: the rows of blocks, and the ledger that says so, or neither.
//!
//! Rows that several transactions change are locked in this order, each table in the order of its key: ledger, boot,
//! command, latest, extra_latest, quarantine. All of them exist before.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use platform::Client;
use shared_protocol::Digest;

use super::{
    batch::Batch,
    block::{BlockKey, Done, Prepared, RecordRows, Settled, Timeless, Work},
    define,
    plan::{Closed, ClosedAs, Fate, plan},
    quarantine::{self, Unusable},
    states::IsState,
    write,
};
use crate::{
    decode::{self, Times},
    outcome::{OutcomeKind, Reason},
    ranges::Ranges,
    trouble::Trouble,
};

/// What a batch changes in one ledger row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) blocks: i64,
    pub(crate) samples: i64,
    pub(crate) thinned: i64,
    pub(crate) dropped: i64,
    pub(crate) quarantined: i64,
    pub(crate) unplaced: i64,
    /// The first and the last time of what came with its time, in microseconds since 1970.
    pub(crate) times_us: Option<(i64, i64)>,
}

impl Tally {
    fn count_times(&mut self, times: impl Iterator<Item = i64>) {
        for time in times {
            let (first, last) = self.times_us.unwrap_or((time, time));
            self.times_us = Some((first.min(time), last.max(time)));
        }
    }
}

/// Step 6 of a sample's life: writes a batch. `may_keep` says whether a gateway may add one more block to the quarantine.
pub(crate) async fn commit(
    client: &mut Client,
    blocks: &[Prepared<'_>],
    now: Timestamp,
    is_state: &IsState,
    may_keep: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<Settled>, Trouble> {
    let tx = client.transaction().await?;
    let mut ledgers = lock_ledgers(&tx, blocks).await?;
    let closed = closed(&tx, blocks, &ledgers).await?;
    let waiting = take_unplaced(&tx, blocks).await?;
    let fates = plan(blocks, &mut ledgers, &closed, &waiting);
    let mut batch = Batch::new(blocks, fates, now);
    place_timeless(&tx, &mut batch).await?;
    let new_columns = define::judge(&tx, &mut batch).await?;

    define::insert(&tx, &new_columns).await?;
    write::records(&tx, &batch).await?;
    let mut tallies = tallies(&batch);
    write::gaps(&tx, &batch, &mut tallies).await?;
    write::unplaced(&tx, &batch).await?;
    write::digests(&tx, &batch).await?;
    write::samples(&tx, &batch, is_state).await?;
    let conflicts_kept = write_quarantine(&tx, &batch, may_keep).await?;
    write::ledgers(&tx, &ledgers, &tallies).await?;
    tx.commit().await?;
    Ok(settle(&batch, &ledgers, &conflicts_kept))
}

async fn lock_ledgers(
    tx: &Transaction<'_>,
    blocks: &[Prepared<'_>],
) -> Result<BTreeMap<(i64, i16), Ranges>, Trouble> {
    let wanted: BTreeSet<_> = blocks.iter().map(Prepared::stream).collect();
    let (epochs, streams): (Vec<i64>, Vec<i16>) = wanted.iter().copied().unzip();
    let statement = tx
        .prepare_cached(include_str!("../../queries/lock_ledgers.sql"))
        .await?;
    let rows = tx.query(&statement, &[&epochs, &streams]).await?;
    let mut ledgers = BTreeMap::new();
    for row in rows {
        let done: Ranges = row
            .get::<_, &str>("done")
            .parse()
            .map_err(|_| Trouble::Stale)?;
        ledgers.insert((row.get("epoch_id"), row.get("stream")), done);
    }
    if ledgers.len() == wanted.len() {
        Ok(ledgers)
    } else {
        Err(Trouble::Stale)
    }
}

/// The columns of a list of block keys.
pub(crate) fn unzip_keys(keys: impl Iterator<Item = BlockKey>) -> (Vec<i64>, Vec<i16>, Vec<i64>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (epoch, stream, seq) in keys {
        columns.0.push(epoch);
        columns.1.push(stream);
        columns.2.push(seq);
    }
    columns
}

/// What the numbers of the batch that are closed stand for.
async fn closed(
    tx: &Transaction<'_>,
    blocks: &[Prepared<'_>],
    ledgers: &BTreeMap<(i64, i16), Ranges>,
) -> Result<HashMap<BlockKey, Closed>, Trouble> {
    let keys: BTreeSet<BlockKey> = blocks
        .iter()
        .filter(|block| !block.block.placing)
        .filter(|block| ledgers[&block.stream()].contains(block.block.header.number.seq))
        .map(Prepared::key)
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (epochs, streams, seqs) = unzip_keys(keys.into_iter());
    let statement = tx
        .prepare_cached(include_str!("../../queries/digests.sql"))
        .await?;
    let rows = tx.query(&statement, &[&epochs, &streams, &seqs]).await?;
    let mut closed = HashMap::new();
    for row in rows {
        let mut digest = [0; 16];
        digest.copy_from_slice(row.get("digest"));
        let fate = match row.get::<_, i16>("fate") {
            0 => ClosedAs::Stored,
            1 => {
                let reason = row.get::<_, Option<&str>>("reason");
                let detail = row.get::<_, Option<String>>("detail");
                ClosedAs::Quarantined(
                    reason
                        .and_then(Reason::from_name)
                        .unwrap_or(Reason::Unreadable),
                    detail
                        .unwrap_or_else(|| "it was quarantined, and is no longer kept".to_owned()),
                )
            }
            _ => ClosedAs::Gap,
        };
        let key = (row.get("epoch_id"), row.get("stream"), row.get("seq"));
        let digest = Digest(digest);
        closed.insert(key, Closed { digest, fate });
    }
    Ok(closed)
}

/// Takes the batch's blocks out of `telemetry.unplaced`, and says which of them were there.
async fn take_unplaced(
    tx: &Transaction<'_>,
    blocks: &[Prepared<'_>],
) -> Result<HashSet<BlockKey>, Trouble> {
    let keys = blocks.iter().filter(|block| block.block.placing);
    let (epochs, streams, seqs) = unzip_keys(keys.map(Prepared::key));
    if epochs.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = tx
        .prepare_cached(include_str!("../../queries/take_unplaced.sql"))
        .await?;
    let rows = tx.query(&statement, &[&epochs, &streams, &seqs]).await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect())
}

/// Gives blocks without wall time theirs, when their boot has learnt it. Those that stay without keep their boot
/// locked until the end, so that whoever learns the time finds them.
async fn place_timeless(tx: &Transaction<'_>, batch: &mut Batch<'_, '_>) -> Result<(), Trouble> {
    let places = batch.places_of(|work| matches!(work, Work::Timeless(_)));
    let boot = |at: usize| {
        let block = &batch.blocks[at].block;
        (block.gateway_id, block.header.boot.cast_signed())
    };
    let wanted: BTreeSet<(i32, i64)> = places.iter().map(|&at| boot(at)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let (gateways, boots): (Vec<i32>, Vec<i64>) = wanted.iter().copied().unzip();
    let statement = tx
        .prepare_cached(include_str!("../../queries/lock_boots.sql"))
        .await?;
    let rows = tx.query(&statement, &[&gateways, &boots]).await?;
    if rows.len() != wanted.len() {
        return Err(Trouble::Stale);
    }
    let offsets: HashMap<(i32, i64), Option<i64>> = rows
        .iter()
        .map(|row| ((row.get(0), row.get(1)), row.get(2)))
        .collect();
    let times = Times::until(batch.now);
    for (at, offset_us) in places
        .iter()
        .filter_map(|&at| Some((at, offsets.get(&boot(at)).copied().flatten()?)))
        .collect::<Vec<_>>()
    {
        let Work::Timeless(content) = &batch.blocks[at].work else {
            continue;
        };
        let work = match content {
            Timeless::Samples(body, columns) => {
                decode::rows(body, columns, offset_us, times).map(Work::Samples)
            }
            Timeless::Records(records, assets) => decode::record_times(records, offset_us, times)
                .map(|times_us| {
                    Work::Records(RecordRows {
                        records,
                        times_us,
                        assets: Arc::clone(assets),
                    })
                }),
        };
        let work = work.unwrap_or_else(|why| Work::Quarantine(Reason::Impossible, why));
        batch.resolve(at, work);
    }
    Ok(())
}

fn tallies(batch: &Batch<'_, '_>) -> BTreeMap<(i64, i16), Tally> {
    let mut tallies: BTreeMap<(i64, i16), Tally> = BTreeMap::new();
    for written in batch.written() {
        let block = written.block.block;
        let tally = tallies.entry(written.block.stream()).or_default();
        let header = &block.header;
        let samples = i64::from(header.samples);
        if block.placing {
            tally.unplaced -= samples;
        } else if block.readmitting && written.replaces {
            // Its header was counted when it was quarantined.
            tally.quarantined -= samples;
        } else {
            if !written.replaces {
                tally.blocks += written.numbers().count() as i64;
            }
            tally.thinned += i64::from(header.thinned);
            match written.work {
                Work::Samples(rows) => tally.count_times(rows.times()),
                Work::Records(rows) => tally.count_times(rows.times_us.iter().copied()),
                _ => {}
            }
        }
        match written.work {
            Work::Columns(..) | Work::Samples(_) | Work::Records(_) => tally.samples += samples,
            Work::Timeless(_) => tally.unplaced += samples,
            Work::Gap(_) => tally.dropped += samples,
            Work::Quarantine(..) => tally.quarantined += samples,
        }
    }
    tallies
}

/// Keeps the blocks that cannot be used; returns the places of conflicting ones that were kept.
async fn write_quarantine(
    tx: &Transaction<'_>,
    batch: &Batch<'_, '_>,
    may_keep: &(dyn Fn(&str) -> bool + Sync),
) -> Result<HashSet<usize>, Trouble> {
    let unusable = |block: &Prepared<'_>, reason, detail: &str| {
        let header = &block.block.header;
        Unusable {
            digest: block.block.digest,
            gateway: Some(header.gateway.to_string()),
            number: Some(header.number.to_string()),
            closed: true,
            reason,
            detail: detail.to_owned(),
            topic: block.block.topic.clone(),
            samples: header.samples,
            payload: block.block.payload.clone(),
        }
    };
    let mut rows: Vec<Unusable> = batch
        .written()
        .filter_map(|written| match written.work {
            Work::Quarantine(reason, detail) => Some(unusable(written.block, *reason, detail)),
            _ => None,
        })
        .collect();
    let mut kept = HashSet::new();
    for (at, fate) in batch.fates.iter().enumerate() {
        if let Fate::Conflict(detail) = fate
            && may_keep(batch.blocks[at].block.header.gateway.as_str())
        {
            rows.push(unusable(&batch.blocks[at], Reason::NumberReused, detail));
            kept.insert(at);
        }
    }
    quarantine::write(tx, &rows, batch.now).await?;
    Ok(kept)
}

fn settle(
    batch: &Batch<'_, '_>,
    ledgers: &BTreeMap<(i64, i16), Ranges>,
    conflicts_kept: &HashSet<usize>,
) -> Vec<Settled> {
    let done: HashMap<(i64, i16), Done> = ledgers
        .iter()
        .map(|(stream, ranges)| (*stream, ranges.as_slice().into()))
        .collect();
    let written = |at: usize, new: bool| {
        let block = &batch.blocks[at];
        match batch.work(at) {
            Work::Quarantine(reason, detail) => OutcomeKind::Quarantined {
                reason: *reason,
                detail: detail.clone(),
            },
            _ => OutcomeKind::Stored {
                new,
                samples: block.block.header.samples,
            },
        }
    };
    let settled = |(at, fate): (usize, &Fate)| {
        let block = &batch.blocks[at];
        let result = match fate {
            Fate::Write { .. } | Fate::Close(_) => written(at, true),
            Fate::Like(first) => written(*first, false),
            Fate::Known(result) => result.clone(),
            Fate::Conflict(detail) if conflicts_kept.contains(&at) => OutcomeKind::Quarantined {
                reason: Reason::NumberReused,
                detail: detail.clone(),
            },
            Fate::Conflict(_) => OutcomeKind::NotStored {
                detail: "the quarantine takes no more of this gateway for now".to_owned(),
            },
            Fate::Gone => OutcomeKind::Stored {
                new: false,
                samples: 0,
            },
        };
        Settled {
            at: block.block.at,
            result,
            done: Arc::clone(&done[&block.stream()]),
        }
    };
    batch.fates.iter().enumerate().map(settled).collect()
}
