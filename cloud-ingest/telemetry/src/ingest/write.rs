//! The statements of the transaction that write what a batch brings.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    batch::Batch,
    block::Work,
    commit::{Tally, unzip_keys},
    latest::{LatestValues, time},
    sources::by_source,
    states::{IsState, States},
    wide,
};
use crate::{
    charging::Tidings,
    command,
    copy::CopyRows,
    decode::{Number, Rows},
    micros::Micros,
    ranges::Ranges,
    rollup::Minutes,
    trouble::Trouble,
};

/// Writes the samples of all written blocks, and what is kept beside them.
pub(crate) async fn samples(
    tx: &Transaction<'_>,
    batch: &Batch<'_, '_>,
    is_state: &IsState,
) -> Result<(), Trouble> {
    let blocks: Vec<&Rows> = batch
        .written()
        .filter_map(|written| match written.work {
            Work::Samples(rows) => Some(rows),
            _ => None,
        })
        .collect();
    rows(tx, &blocks, batch.now, is_state).await
}

/// Copies rows, wide and narrow, marks their minutes, and keeps what is latest in them and which states changed.
pub(crate) async fn rows(
    tx: &Transaction<'_>,
    blocks: &[&Rows],
    now: Timestamp,
    is_state: &IsState,
) -> Result<(), Trouble> {
    let mut latest = LatestValues::default();
    let mut states = States::new(Arc::clone(is_state));
    let mut minutes = Minutes::default();
    wide::copy(tx, blocks).await?;
    for (key, rows) in by_source(blocks) {
        latest.add(key, &rows);
        states.add(key, &rows);
        minutes.add(key, rows.iter().map(|row| row.time_us()));
    }
    for rows in blocks {
        latest.add_extra(rows);
    }
    let mut extra = CopyRows::new();
    for row in blocks.iter().flat_map(|rows| &rows.extra) {
        extra.row(4);
        extra.time(row.time_us);
        extra.integer(row.signal);
        match row.number {
            Number::Raw(raw) => {
                extra.bigint(raw);
                extra.null();
            }
            Number::Value(value) => {
                extra.null();
                extra.double(value);
            }
        }
    }
    let target = "telemetry.extra (time, signal_id, raw, value)";
    extra.send(tx, target).await?;
    let target = "telemetry.dirty (level, source, asset_id, bucket, due)";
    minutes.marks(now).send(tx, target).await?;
    let before = latest.write(tx).await?;
    states.write(tx, &before).await
}

/// Inserts the records of all written blocks, and moves the transactions and commands that they speak of.
pub(crate) async fn records(tx: &Transaction<'_>, batch: &Batch<'_, '_>) -> Result<(), Trouble> {
    let mut keys = Vec::new();
    let mut places: Vec<i32> = Vec::new();
    let mut gateways: Vec<i32> = Vec::new();
    let mut times: Vec<Timestamp> = Vec::new();
    let mut assets: Vec<Option<i32>> = Vec::new();
    let mut kinds: Vec<&str> = Vec::new();
    let mut payloads: Vec<Cow<'_, str>> = Vec::new();
    let mut tidings = Tidings::default();
    for written in batch.written() {
        let Work::Records(rows) = written.work else {
            continue;
        };
        let gateway = written.block.block.gateway_id;
        let about = rows.times_us.iter().zip(rows.assets.iter());
        for ((place, record), (&time_us, &asset)) in (0i32..).zip(rows.records).zip(about) {
            let (at, payload) = (time(time_us), storable(&record.payload));
            tidings.add(gateway, &record.kind, &payload, at, asset);
            keys.push(written.block.key());
            places.push(place);
            gateways.push(gateway);
            kinds.push(&record.kind);
            payloads.push(payload);
            times.push(at);
            assets.push(asset);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let (epochs, streams, seqs) = unzip_keys(keys.into_iter());
    let statement = tx
        .prepare_cached(include_str!("../../queries/insert_records.sql"))
        .await?;
    tx.execute(
        &statement,
        &[
            &epochs, &streams, &seqs, &places, &gateways, &times, &assets, &kinds, &payloads,
        ],
    )
    .await?;
    tidings.write(tx).await?;
    let answers = batch.written().filter_map(|written| match written.work {
        Work::Records(rows) => Some((written.block.block.gateway_id, rows)),
        _ => None,
    });
    command::answers(tx, answers).await
}

/// JSON that PostgreSQL takes: it has no U+0000, which a station may well put into a text.
fn storable(payload: &str) -> Cow<'_, str> {
    fn clean(value: &mut Value) {
        match value {
            Value::String(text) => *text = text.replace('\0', "\u{fffd}"),
            Value::Array(values) => values.iter_mut().for_each(clean),
            Value::Object(fields) => {
                let all = std::mem::take(fields);
                for (name, mut value) in all {
                    clean(&mut value);
                    fields.insert(name.replace('\0', "\u{fffd}"), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    if !payload.contains("\\u0000") {
        return Cow::Borrowed(payload);
    }
    match serde_json::from_str::<Value>(payload) {
        Ok(mut value) => {
            clean(&mut value);
            Cow::Owned(value.to_string())
        }
        // It was checked before; if it cannot be read after all, the database says so.
        Err(_) => Cow::Borrowed(payload),
    }
}

/// Inserts gaps, and removes those whose block has come after all.
pub(crate) async fn gaps(
    tx: &Transaction<'_>,
    batch: &Batch<'_, '_>,
    tallies: &mut BTreeMap<(i64, i16), Tally>,
) -> Result<(), Trouble> {
    let replaced = batch.written().filter(|written| written.replaces);
    let (epochs, streams, seqs) = unzip_keys(replaced.map(|written| written.block.key()));
    if !epochs.is_empty() {
        let sql = include_str!("../../queries/delete_gaps.sql");
        for row in tx.query(sql, &[&epochs, &streams, &seqs]).await? {
            let tally = tallies.entry((row.get(0), row.get(1))).or_default();
            tally.dropped -= row.get::<_, i64>("samples");
            tally.thinned -= row.get::<_, i64>("thinned");
        }
    }
    let gaps: Vec<_> = batch
        .written()
        .filter_map(|written| match written.work {
            Work::Gap(reason) => Some((written.block, *reason, written.key())),
            _ => None,
        })
        .collect();
    if gaps.is_empty() {
        return Ok(());
    }
    let (epochs, streams, seqs) = unzip_keys(gaps.iter().map(|(.., key)| *key));
    let gateways: Vec<i32> = gaps
        .iter()
        .map(|(block, ..)| block.block.gateway_id)
        .collect();
    let reasons: Vec<&str> = gaps.iter().map(|(_, reason, _)| *reason).collect();
    let headers = || gaps.iter().map(|(block, ..)| &block.block.header);
    let samples: Vec<i64> = headers().map(|header| header.samples.into()).collect();
    let thinned: Vec<i64> = headers().map(|header| header.thinned.into()).collect();
    let sql = include_str!("../../queries/insert_gaps.sql");
    tx.execute(
        sql,
        &[
            &epochs, &streams, &seqs, &gateways, &reasons, &samples, &thinned, &batch.now,
        ],
    )
    .await?;
    Ok(())
}

/// Keeps the blocks whose boot does not know the time.
pub(crate) async fn unplaced(tx: &Transaction<'_>, batch: &Batch<'_, '_>) -> Result<(), Trouble> {
    let blocks: Vec<_> = batch
        .written()
        .filter(|written| matches!(written.work, Work::Timeless(_)))
        .map(|written| written.block)
        .collect();
    if blocks.is_empty() {
        return Ok(());
    }
    let (epochs, streams, seqs) = unzip_keys(blocks.iter().map(|block| block.key()));
    let gateways: Vec<i32> = blocks.iter().map(|block| block.block.gateway_id).collect();
    let boots: Vec<i64> = blocks
        .iter()
        .map(|block| block.block.header.boot.cast_signed())
        .collect();
    // At most MAX_SAMPLES: the content was counted.
    let samples: Vec<i32> = blocks
        .iter()
        .map(|block| block.block.header.samples.cast_signed())
        .collect();
    let payloads: Vec<&[u8]> = blocks
        .iter()
        .map(|block| block.block.payload.as_ref())
        .collect();
    let sql = include_str!("../../queries/insert_unplaced.sql");
    tx.execute(
        sql,
        &[
            &epochs, &streams, &seqs, &gateways, &boots, &samples, &payloads, &batch.now,
        ],
    )
    .await?;
    Ok(())
}

/// Keeps what each closed number stands for.
pub(crate) async fn digests(tx: &Transaction<'_>, batch: &Batch<'_, '_>) -> Result<(), Trouble> {
    let fate = |work: &Work<'_>| match work {
        Work::Quarantine(..) => 1i16,
        Work::Gap(_) => 2,
        _ => 0,
    };
    let mut new = CopyRows::new();
    let mut changed = Vec::new();
    for written in batch.written() {
        let (block, work) = (written.block, written.work);
        let placed_badly = block.block.placing && matches!(work, Work::Quarantine(..));
        if written.replaces || placed_badly {
            changed.push((block, fate(work)));
        } else if !block.block.placing {
            let (epoch, stream, _) = block.key();
            for seq in written.numbers() {
                new.row(6);
                new.bigint(epoch);
                new.smallint(stream);
                new.bigint(seq);
                new.bytea(&block.block.digest.0);
                new.smallint(fate(work));
                new.time(batch.now.as_microsecond());
            }
        }
    }
    let target = "telemetry.block_digest (epoch_id, stream, seq, digest, fate, received_at)";
    new.send(tx, target).await?;
    if changed.is_empty() {
        return Ok(());
    }
    let (epochs, streams, seqs) = unzip_keys(changed.iter().map(|(block, _)| block.key()));
    let digests: Vec<&[u8]> = changed
        .iter()
        .map(|(block, _)| block.block.digest.0.as_slice())
        .collect();
    let fates: Vec<i16> = changed.iter().map(|(_, fate)| *fate).collect();
    let sql = include_str!("../../queries/replace_digests.sql");
    tx.execute(
        sql,
        &[&epochs, &streams, &seqs, &digests, &fates, &batch.now],
    )
    .await?;
    Ok(())
}

/// Moves the ledgers.
pub(crate) async fn ledgers(
    tx: &Transaction<'_>,
    ledgers: &BTreeMap<(i64, i16), Ranges>,
    tallies: &BTreeMap<(i64, i16), Tally>,
) -> Result<(), Trouble> {
    if tallies.is_empty() {
        return Ok(());
    }
    let (epochs, streams): (Vec<i64>, Vec<i16>) = tallies.keys().copied().unzip();
    let done: Vec<String> = tallies
        .keys()
        .map(|stream| ledgers[stream].to_sql())
        .collect();
    let column = |of: fn(&Tally) -> i64| -> Vec<i64> { tallies.values().map(of).collect() };
    let times = |of: fn((i64, i64)) -> i64| -> Vec<Option<Micros>> {
        let times = tallies.values().map(|tally| tally.times_us);
        times
            .map(|times| times.map(|times| Micros(of(times))))
            .collect()
    };
    let statement = tx
        .prepare_cached(include_str!("../../queries/update_ledgers.sql"))
        .await?;
    tx.execute(
        &statement,
        &[
            &epochs,
            &streams,
            &done,
            &column(|tally| tally.blocks),
            &column(|tally| tally.samples),
            &column(|tally| tally.thinned),
            &column(|tally| tally.dropped),
            &column(|tally| tally.quarantined),
            &column(|tally| tally.unplaced),
            &times(|(first, _)| first),
            &times(|(_, last)| last),
        ],
    )
    .await?;
    Ok(())
}
