//! Everything that can be done for a block before its transaction: its epoch, its columns and assets, its rows.
//! Idempotent: after trouble it is done again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use platform::{Client, RegisterError};
use shared_protocol::{AssetKey, Body, Epoch, GatewayId, Record, SampleBody};

use super::{
    Ingestor,
    block::{Opened, Prepared, RecordRows, Settled, Timeless, Work},
    define::{define, ensure_extra_signals},
    known::{AssetSource, Known, KnownEpoch, Latest, MOST_EPOCHS},
    states::IsState,
};
use crate::{
    columns::{EpochColumns, Target},
    decode::{self, NotYet, Pattern, Times},
    outcome::{OutcomeKind, Reason},
    trouble::Trouble,
};

/// What is ready, what needs no transaction, and whether a boot has learnt the time.
#[derive(Debug, Default)]
pub(crate) struct Ready<'a> {
    pub(crate) prepared: Vec<Prepared<'a>>,
    pub(crate) settled: Vec<Settled>,
    pub(crate) learnt: bool,
    /// Which slots are states.
    pub(crate) is_state: IsState,
}

/// The assets of gateways' local keys, by gateway; or it names too many.
pub(crate) type Assets = HashMap<i32, Result<HashMap<AssetKey, i32>, String>>;

impl Ingestor {
    /// Makes blocks ready to be committed.
    pub(crate) async fn prepare<'a>(
        &self,
        client: &mut Client,
        blocks: &[&'a Opened],
    ) -> Result<Ready<'a>, Trouble> {
        let mut ready = Ready::default();
        let epochs = self.epochs(client, blocks).await?;
        let known = &self.0.known;
        let mut believed: Vec<(&'a Opened, i64)> = Vec::new();
        for &block in blocks {
            let number = &block.header.number;
            let Some(epoch) = epochs.get(&(block.gateway_id, number.epoch)) else {
                let detail = format!(
                    "{} has begun {MOST_EPOCHS} epochs, and may begin no more: find out what restarts it, and register \
                     it under a new name",
                    block.header.gateway
                );
                let result = OutcomeKind::Refused { detail };
                ready
                    .settled
                    .push(Settled::without_ledger(block.at, result));
                continue;
            };
            if epoch.key == block.key {
                believed.push((block, epoch.id));
            } else {
                let detail = format!("epoch {} is signed by another key", number.epoch);
                let reason = Reason::WrongKey;
                let result = OutcomeKind::Rejected { reason, detail };
                ready
                    .settled
                    .push(Settled::without_ledger(block.at, result));
            }
        }
        let ledgers = believed
            .iter()
            .map(|(block, id)| (*id, block.header.number.stream.number().into()))
            .collect();
        known.ensure_ledgers(client, &ledgers).await?;
        let assets = self.assets(client, &believed).await?;
        let extras = ensure_extra_signals(client, &believed, &assets).await?;
        let times = Times::until(self.0.clock.now());
        let mut columns = ColumnsOf::default();
        for (block, epoch_id) in believed {
            let work = match &block.content {
                Err((reason, detail)) => Ok(Work::Quarantine(*reason, detail.clone())),
                Ok(Body::Gap(reason) | Body::Gaps { reason, .. }) => Ok(Work::Gap(reason.name())),
                Ok(Body::Columns { first, columns }) => {
                    Ok(define(*first, columns, &assets[&block.gateway_id], &extras))
                }
                Ok(Body::Records(records)) => Ok(judge_records(
                    block,
                    records,
                    &assets[&block.gateway_id],
                    times,
                )),
                Ok(Body::Samples(body)) => {
                    match columns.get(known, client, epoch_id, body).await? {
                        Ok(known) => Ok(judge_samples(block, body, known, times)),
                        Err(not_yet) => Err(not_yet),
                    }
                }
            };
            match work {
                Ok(Work::Quarantine(..)) if !self.may_keep(block.header.gateway.as_str()) => {
                    let detail = "the quarantine takes no more of this gateway for now".to_owned();
                    let result = OutcomeKind::NotStored { detail };
                    ready
                        .settled
                        .push(Settled::without_ledger(block.at, result));
                }
                Ok(work) => ready.prepared.push(Prepared {
                    block,
                    epoch_id,
                    work,
                }),
                Err(not_yet) => ready
                    .settled
                    .push(Settled::without_ledger(block.at, wait(not_yet))),
            }
        }
        ready.is_state = known.states(client).await?;
        ready.learnt = self.ensure_rows(client, &ready.prepared).await?;
        Ok(ready)
    }

    async fn epochs(
        &self,
        client: &Client,
        blocks: &[&Opened],
    ) -> Result<HashMap<(i32, Epoch), KnownEpoch>, Trouble> {
        let wanted = blocks
            .iter()
            .map(|block| (block.gateway_id, block.header.number.epoch, block.key))
            .collect();
        self.0.known.epochs(client, &wanted).await
    }

    /// The assets that definitions and records name.
    async fn assets(
        &self,
        client: &mut Client,
        blocks: &[(&Opened, i64)],
    ) -> Result<Assets, Trouble> {
        let mut wanted: BTreeMap<i32, (&GatewayId, BTreeSet<&AssetKey>)> = BTreeMap::new();
        for (block, _) in blocks {
            let (_, keys) = wanted
                .entry(block.gateway_id)
                .or_insert_with(|| (&block.header.gateway, BTreeSet::new()));
            match &block.content {
                Ok(Body::Columns { columns, .. }) => {
                    keys.extend(columns.iter().map(|column| &column.asset));
                }
                Ok(Body::Records(records)) => {
                    keys.extend(records.iter().filter_map(|record| record.asset.as_ref()));
                }
                _ => {}
            }
        }
        let mut assets = Assets::new();
        for (id, (gateway, keys)) in wanted {
            let keys: Vec<AssetKey> = keys.into_iter().cloned().collect();
            let found = if keys.is_empty() {
                Ok(HashMap::new())
            } else {
                let register = &self.0.register;
                match register.map_assets(client, gateway, id, &keys).await {
                    Ok(found) => Ok(found),
                    Err(RegisterError::Db(error)) => return Err(error.into()),
                    Err(too_many) => Err(too_many.to_string()),
                }
            };
            assets.insert(id, found);
        }
        Ok(assets)
    }

    /// Makes sure that the transaction finds every row that it locks, and keeps what boots have learnt.
    async fn ensure_rows(
        &self,
        client: &Client,
        prepared: &[Prepared<'_>],
    ) -> Result<bool, Trouble> {
        let mut wide = BTreeSet::new();
        let mut seen: HashSet<AssetSource> = HashSet::new();
        let mut extra = BTreeSet::new();
        let mut timeless = BTreeSet::new();
        let mut offsets = HashMap::new();
        for one in prepared {
            let header = &one.block.header;
            let boot = (one.block.gateway_id, header.boot);
            match &one.work {
                Work::Samples(rows) => {
                    let keys = rows.wide.iter().map(|row| (row.asset, row.source));
                    wide.extend(keys.filter(|key| seen.insert(*key)));
                    extra.extend(rows.extra.iter().map(|row| (row.asset, row.source)));
                }
                Work::Timeless(content) => {
                    timeless.insert(boot);
                    if let Timeless::Samples(body, columns) = content {
                        let plans = body.series.iter();
                        for plan in plans.filter_map(|series| columns.get(series.column)) {
                            let key = (plan.asset, plan.column.source.number());
                            match plan.target {
                                Target::Extra(_) => extra.insert(key),
                                _ => wide.insert(key),
                            };
                        }
                    }
                }
                _ => {}
            }
            // Only from blocks whose times can be true.
            if let (Work::Samples(_) | Work::Records(_), Some(offset)) =
                (&one.work, header.wall_offset_us)
            {
                offsets.entry(boot).or_insert(offset);
            }
        }
        let known = &self.0.known;
        known
            .ensure_latest(client, Latest::Catalogue, &wide)
            .await?;
        known.ensure_latest(client, Latest::Extra, &extra).await?;
        known.ensure_boots(client, &timeless).await?;
        known.learn_boots(client, &offsets).await
    }
}

fn wait(not_yet: NotYet) -> OutcomeKind {
    match not_yet {
        NotYet::Column(first) => OutcomeKind::ColumnsNeeded(first),
        NotYet::Signal(signal) => OutcomeKind::NotStored {
            detail: format!(
                "signal {signal} is of a newer catalogue than this program's: update the cloud"
            ),
        },
    }
}

/// What is known of the columns of an epoch.
#[derive(Debug)]
struct OfEpoch {
    columns: Arc<EpochColumns>,
    /// The database was asked again for them.
    is_latest: bool,
    /// That of the block before.
    pattern: Option<Pattern>,
}

/// The columns of the epochs of a batch.
#[derive(Debug, Default)]
struct ColumnsOf(HashMap<i64, OfEpoch>);

impl ColumnsOf {
    /// Those of a body, if all are known.
    async fn get(
        &mut self,
        known: &Known,
        client: &Client,
        epoch_id: i64,
        body: &SampleBody,
    ) -> Result<Result<&mut OfEpoch, NotYet>, Trouble> {
        let of_epoch = match self.0.entry(epoch_id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(OfEpoch {
                columns: known.columns(client, epoch_id, false).await?,
                is_latest: false,
                pattern: None,
            }),
        };
        let fits = |pattern: &Pattern| pattern.fits(body);
        if of_epoch.pattern.as_ref().is_some_and(fits) {
            return Ok(Ok(of_epoch));
        }
        of_epoch.pattern = None;
        let mut state = decode::ready(body, &of_epoch.columns);
        if state.is_err() && !of_epoch.is_latest {
            of_epoch.columns = known.columns(client, epoch_id, true).await?;
            of_epoch.is_latest = true;
            state = decode::ready(body, &of_epoch.columns);
        }
        Ok(state.map(|()| of_epoch))
    }
}

fn judge_samples<'a>(
    block: &Opened,
    body: &'a SampleBody,
    known: &mut OfEpoch,
    times: Times,
) -> Work<'a> {
    let columns = &known.columns;
    let work = match block.header.wall_offset_us {
        Some(offset) => {
            let pattern = match known.pattern.take() {
                Some(pattern) => Ok(pattern),
                None => decode::pattern(body, columns),
            };
            pattern.and_then(|pattern| {
                let pattern = known.pattern.insert(pattern);
                let rows = pattern.rows(body, columns, offset, times)?;
                Ok(Work::Samples(rows))
            })
        }
        None => decode::check(body, columns)
            .map(|()| Work::Timeless(Timeless::Samples(body, Arc::clone(columns)))),
    };
    work.unwrap_or_else(|why| Work::Quarantine(Reason::Impossible, why))
}

fn judge_records<'a>(
    block: &Opened,
    records: &'a [Record],
    assets: &Result<HashMap<AssetKey, i32>, String>,
    times: Times,
) -> Work<'a> {
    let assets = match assets {
        Ok(assets) => assets,
        Err(why) => return Work::Quarantine(Reason::TooManyAssets, why.clone()),
    };
    let assets: Arc<[Option<i32>]> = records
        .iter()
        .map(|record| assets.get(record.asset.as_ref()?).copied())
        .collect();
    let work = decode::check_records(records).and_then(|()| match block.header.wall_offset_us {
        Some(offset) => decode::record_times(records, offset, times).map(|times_us| {
            Work::Records(RecordRows {
                records,
                times_us,
                assets,
            })
        }),
        None => Ok(Work::Timeless(Timeless::Records(records, assets))),
    });
    work.unwrap_or_else(|why| Work::Quarantine(Reason::Impossible, why))
}
