//! States that come late, between samples that are there already or before them: all of a batch together, for a backlog brings
//! the same for each of a depot's cars.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::{Row, types::ToSql};

use super::{Change, Key, Samples, changes, signal};
use crate::{layout::layout, micros::Micros, trouble::Trouble};

/// A state, with the first and the last time of what came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    key: Key,
    first: i64,
    last: i64,
}

/// Spans as columns of a statement.
struct Columns {
    assets: Vec<i32>,
    signals: Vec<i32>,
    sources: Vec<i16>,
    first: Vec<Micros>,
    last: Vec<Micros>,
}

impl Columns {
    fn of(spans: &[Span]) -> Self {
        let keys = || spans.iter().map(|span| span.key);
        Self {
            assets: keys().map(|(asset, ..)| asset).collect(),
            signals: keys().map(|(_, _, slot)| signal(slot)).collect(),
            sources: keys().map(|(_, source, _)| source).collect(),
            first: spans.iter().map(|span| Micros(span.first)).collect(),
            last: spans.iter().map(|span| Micros(span.last)).collect(),
        }
    }

    /// As the statements about spans of any signal take them.
    fn parameters(&self) -> [&(dyn ToSql + Sync); 5] {
        [
            &self.assets,
            &self.signals,
            &self.sources,
            &self.first,
            &self.last,
        ]
    }
}

/// Of late states, each with its samples in order of time, those that may change what is kept. Where all that came is what the
/// state was before, and nothing is known to have changed meanwhile, what is kept stays true: the samples between are all
/// alike, and the one after them follows the same as before.
pub(super) async fn unsettled(
    tx: &Transaction<'_>,
    late: &[(Key, Samples)],
) -> Result<Vec<Span>, Trouble> {
    if late.is_empty() {
        return Ok(Vec::new());
    }
    let span = |(key, samples): &(Key, Samples)| Span {
        key: *key,
        first: samples[0].0,
        last: samples[samples.len() - 1].0,
    };
    let spans: Vec<Span> = late.iter().map(span).collect();
    let columns = Columns::of(&spans);
    let statement = tx
        .prepare_cached(include_str!("../../../queries/states_before.sql"))
        .await?;
    let rows = tx.query(&statement, &columns.parameters()).await?;
    let is_settled = |row: &Row, samples: &[(i64, i64)]| {
        let before: Option<i64> = row.get("steps");
        !row.get::<_, bool>("changed") && samples.iter().all(|(_, steps)| Some(*steps) == before)
    };
    let found = spans.into_iter().zip(late).zip(&rows);
    let found = found.filter(|((_, (_, samples)), row)| !is_settled(row, samples));
    Ok(found.map(|((span, _), _)| span).collect())
}

/// Reads the samples of these times again, with the last one before and the first one after them, and forgets the changes that
/// were kept of that time. Returns those that there are.
pub(super) async fn again(
    tx: &Transaction<'_>,
    spans: Vec<Span>,
) -> Result<Vec<(Key, Vec<Change>)>, Trouble> {
    let mut by_slot: BTreeMap<u16, Vec<Span>> = BTreeMap::new();
    for span in spans {
        by_slot.entry(span.key.2).or_default().push(span);
    }
    let mut forgotten = Vec::new();
    let mut found = Vec::new();
    for (slot, spans) in by_slot {
        let samples = read(tx, slot, &spans).await?;
        for (mut span, samples) in spans.into_iter().zip(samples) {
            let split = samples.partition_point(|(time, _)| *time < span.first);
            let before = samples[..split].last().map(|(_, steps)| *steps);
            found.push((span.key, changes(before, &samples[split..])));
            span.last = samples.last().map_or(span.last, |(time, _)| *time);
            forgotten.push(span);
        }
    }
    if forgotten.is_empty() {
        return Ok(found);
    }
    let columns = Columns::of(&forgotten);
    let statement = tx
        .prepare_cached(include_str!("../../../queries/delete_changes.sql"))
        .await?;
    tx.execute(&statement, &columns.parameters()).await?;
    Ok(found)
}

/// The samples of one slot: for each span the last one before it, those of its time, and the first one after it, by time.
async fn read(tx: &Transaction<'_>, slot: u16, spans: &[Span]) -> Result<Vec<Samples>, Trouble> {
    let column = &layout().slot(slot).signal.column;
    let of = format!("asset_id = u.asset_id AND source = u.source AND \"{column}\" IS NOT NULL");
    let sql = format!(
        "SELECT u.place, s.time, s.steps
         FROM unnest($1::int[], $2::smallint[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY
             AS u (asset_id, source, first, last, place)
         CROSS JOIN LATERAL (
             (SELECT time, \"{column}\"::bigint AS steps FROM telemetry.sample WHERE {of} AND time < u.first
              ORDER BY time DESC, \"{column}\" DESC LIMIT 1)
             UNION ALL
             (SELECT time, \"{column}\"::bigint FROM telemetry.sample WHERE {of} AND time >= u.first AND time <= coalesce(
                (SELECT min(time) FROM telemetry.sample WHERE {of} AND time > u.last), u.last))) AS s
         ORDER BY u.place, s.time, s.steps"
    );
    // As many texts as there are states.
    let statement = tx.prepare_cached(&sql).await?;
    let columns = Columns::of(spans);
    let rows = tx
        .query(
            &statement,
            &[
                &columns.assets,
                &columns.sources,
                &columns.first,
                &columns.last,
            ],
        )
        .await?;
    let mut samples = vec![Samples::new(); spans.len()];
    for row in rows {
        // Ordinality counts from 1.
        let place = row.get::<_, i64>("place") as usize - 1;
        samples[place].push((row.get::<_, Micros>("time").0, row.get("steps")));
    }
    Ok(samples)
}
