//! Out of the tables: in order of time, bounded memory, one snapshot.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use platform::{Client, failure::in_words};
use shared_protocol::{Decimal, Encoding, SignalDef, SignalId, SignalRef, catalogue};
use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::Sample;
use crate::layout::source;

/// Rows that are fetched at a time.
const PAGE: i32 = 10_000;
/// Rows that one statement should have to sort: the length of its time follows from what the one before had.
const WANTED: u64 = 500_000;
const FIRST: SignedDuration = SignedDuration::from_mins(15);
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Definitions that are remembered.
const MOST_DEFINITIONS: usize = 100_000;

/// Which samples.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Of these assets.
    pub assets: Vec<i32>,
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub to: Timestamp,
    /// Of signals with these names; `None`: of all.
    pub signals: Option<Vec<String>>,
    /// Positions that the rules of an asset hide, too.
    pub hidden_positions: bool,
}

/// Why samples were not all read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The database is in trouble.
    #[error("{}", in_words(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A stored number means nothing to this program.
    #[error("{0}: a newer program has stored it; use that one")]
    Newer(String),
    /// Whoever takes them.
    #[error(transparent)]
    Taker(E),
}

/// Gives all samples of a selection to `take`, in the order of (time, asset, source), and returns how many these were. What
/// commits meanwhile is not among them.
pub async fn each<E>(
    client: &mut Client,
    selection: &Selection,
    mut take: impl FnMut(&[Sample]) -> Result<(), E>,
) -> Result<u64, ReadError<E>> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    // The time decides which partitions are read: a plan for any time would look at all of them.
    tx.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan")
        .await?;
    let statement = tx
        .prepare(include_str!("../../queries/samples.sql"))
        .await?;
    let mut meanings = Meanings::default();
    let (mut from, mut span, mut count) = (selection.from, FIRST, 0);
    while let Some(begin) = next(&tx, selection, from).await? {
        let to = begin
            .checked_add(span)
            .map_or(selection.to, |to| to.min(selection.to));
        let portal = tx
            .bind(
                &statement,
                &[
                    &selection.assets,
                    &begin,
                    &to,
                    &selection.signals,
                    &selection.hidden_positions,
                ],
            )
            .await?;
        let mut rows_of_span = 0;
        loop {
            let rows = tx.query_portal(&portal, PAGE).await?;
            rows_of_span += rows.len() as u64;
            if rows.is_empty() {
                break;
            }
            meanings.learn(&tx, &rows).await?;
            let samples: Result<Vec<Sample>, String> =
                rows.iter().map(|row| meanings.sample(row)).collect();
            take(&samples.map_err(ReadError::Newer)?).map_err(ReadError::Taker)?;
        }
        count += rows_of_span;
        (from, span) = (to, next_span(span, rows_of_span));
    }
    Ok(count)
}

/// The time of the next sample; whole years without any cost nothing.
async fn next(
    tx: &Transaction<'_>,
    selection: &Selection,
    from: Timestamp,
) -> Result<Option<Timestamp>, tokio_postgres::Error> {
    let sql = include_str!("../../queries/samples_next.sql");
    let row = tx
        .query_one(sql, &[&selection.assets, &from, &selection.to])
        .await?;
    Ok(row.get("time"))
}

/// How much time the next statement should cover.
fn next_span(span: SignedDuration, rows: u64) -> SignedDuration {
    let next = if rows > WANTED {
        span / 2
    } else if rows < WANTED / 4 {
        span * 2
    } else {
        span
    };
    next.clamp(SHORTEST, LONGEST)
}

/// What the numbers of signals mean.
#[derive(Default)]
struct Meanings {
    catalogue: HashMap<i32, Arc<SignalDef>>,
    extra: HashMap<i32, Arc<SignalDef>>,
}

impl Meanings {
    /// Asks for the definitions that rows need and that are not known yet.
    async fn learn(
        &mut self,
        tx: &Transaction<'_>,
        rows: &[Row],
    ) -> Result<(), tokio_postgres::Error> {
        if self.extra.len() > MOST_DEFINITIONS {
            self.extra.clear();
        }
        let mut missing: Vec<i32> = rows.iter().filter_map(|row| row.get("extra_id")).collect();
        missing.sort_unstable();
        missing.dedup();
        missing.retain(|id| !self.extra.contains_key(id));
        if missing.is_empty() {
            return Ok(());
        }
        let sql = include_str!("../../queries/extra_definitions.sql");
        for row in tx.query(sql, &[&missing]).await? {
            if let Some(def) = definition(&row) {
                self.extra.insert(row.get("id"), Arc::new(def));
            }
        }
        Ok(())
    }

    fn sample(&mut self, row: &Row) -> Result<Sample, String> {
        let number: i16 = row.get("source");
        let (signal, raw) = if let Some(id) = row.get::<_, Option<i32>>("signal_id") {
            (self.known(id)?, row.get("raw"))
        } else {
            let id: i32 = row.get("extra_id");
            let signal = self.extra.get(&id).map(Arc::clone);
            let signal = signal.ok_or_else(|| format!("the definition of signal {id}"))?;
            let raw = match row.get::<_, Option<f64>>("value") {
                Some(value) => value.to_bits().cast_signed(),
                None => row.get("raw"),
            };
            (signal, raw)
        };
        Ok(Sample {
            time: row.get("time"),
            asset: row.get("asset_id"),
            source: source(number).ok_or_else(|| format!("source {number}"))?,
            signal,
            raw,
        })
    }

    /// A signal of the catalogue, in steps of its resolution.
    fn known(&mut self, id: i32) -> Result<Arc<SignalDef>, String> {
        if let Some(def) = self.catalogue.get(&id) {
            return Ok(Arc::clone(def));
        }
        let signal = u16::try_from(id).ok().map(SignalId);
        let known = signal.and_then(|signal| catalogue().get(signal));
        let known = known.ok_or_else(|| format!("signal {id} of the catalogue"))?;
        let def = Arc::new(SignalDef {
            signal: SignalRef::Catalogue(known.id),
            encoding: Encoding::Scaled {
                scale: known.resolution,
                offset: Decimal::ZERO,
            },
        });
        self.catalogue.insert(id, Arc::clone(&def));
        Ok(def)
    }
}

/// A row of `queries/extra_definitions.sql`; `None` when it means nothing to this program.
fn definition(row: &Row) -> Option<SignalDef> {
    let scale: Decimal = row.get::<_, &str>("scale").parse().ok()?;
    let offset: Decimal = row.get::<_, &str>("shift").parse().ok()?;
    let encoding = match row.get::<_, i16>("encoding") {
        0 => Encoding::Scaled { scale, offset },
        1 => Encoding::Unsigned { scale, offset },
        2 => Encoding::Float,
        _ => return None,
    };
    let (name, unit) = (row.get("name"), row.get("unit"));
    Some(SignalDef {
        signal: SignalRef::Named { name, unit },
        encoding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_statement_follows_what_there_is() {
        assert_eq!(next_span(FIRST, 0), FIRST * 2);
        assert_eq!(next_span(FIRST, WANTED / 2), FIRST);
        assert_eq!(next_span(FIRST, WANTED * 2), FIRST / 2);
        assert_eq!(next_span(SHORTEST, WANTED * 2), SHORTEST);
        assert_eq!(next_span(LONGEST, 0), LONGEST);
    }
}
