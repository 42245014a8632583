//! Definitions of columns: before the transaction their assets and signals get numbers, within it they are compared
//! with what is there. A number means one thing for ever.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use deadpool_postgres::Transaction;
use platform::Client;
use shared_protocol::{AssetKey, Body, Column, SignalDef, SignalRef};

use super::{
    batch::Batch,
    block::{Opened, Work},
    prepare::Assets,
};
use crate::{
    columns::{ColumnPlan, EpochColumns, Target, parts, unfit},
    layout::layout,
    outcome::Reason,
    trouble::Trouble,
};

/// A signal outside the catalogue: whose, read by what, and its definition.
pub(crate) type ExtraKey<'a> = (i32, i16, &'a SignalDef);

/// What a block of definitions becomes.
pub(crate) fn define(
    first: u32,
    columns: &[Column],
    assets: &Result<HashMap<AssetKey, i32>, String>,
    extras: &HashMap<ExtraKey<'_>, i32>,
) -> Work<'static> {
    if let Some(why) = unfit(first, columns) {
        return Work::Quarantine(Reason::Impossible, why);
    }
    let assets = match assets {
        Ok(assets) => assets,
        Err(why) => return Work::Quarantine(Reason::TooManyAssets, why.clone()),
    };
    let is_numbered = |column: &&Column| match (&column.def.signal, assets.get(&column.asset)) {
        (SignalRef::Named { .. }, Some(&asset)) => {
            extras.contains_key(&(asset, column.source.number(), &column.def))
        }
        _ => true,
    };
    if let Some(column) = columns.iter().find(|column| !is_numbered(column)) {
        let why = format!(
            "{} {}: the gateway names more than {MOST_NAMED} signals outside the catalogue",
            column.asset,
            column.def.signal.name()
        );
        return Work::Quarantine(Reason::TooManySignals, why);
    }
    let plans = columns.iter().filter_map(|column| {
        let asset = *assets.get(&column.asset)?;
        let target = match &column.def.signal {
            SignalRef::Catalogue(id) => layout()
                .slot_of(*id)
                .map_or(Target::Unknown(*id), Target::Wide),
            SignalRef::Named { .. } => {
                Target::Extra(*extras.get(&(asset, column.source.number(), &column.def))?)
            }
        };
        Some(ColumnPlan {
            column: column.clone(),
            asset,
            target,
        })
    });
    Work::Columns(first, plans.collect())
}

/// Most signals outside the catalogue of one gateway, in all its epochs: a definition that is changed counts again.
pub(crate) const MOST_NAMED: i64 = 100_000;

/// Makes sure that the signals outside the catalogue that definitions name have numbers. Those of gateways that name too
/// many are left out, unless they have theirs already.
pub(crate) async fn ensure_extra_signals<'a>(
    client: &Client,
    blocks: &[(&'a Opened, i64)],
    assets: &Assets,
) -> Result<HashMap<ExtraKey<'a>, i32>, Trouble> {
    let mut wanted: Vec<ExtraKey<'a>> = Vec::new();
    let mut gateways: Vec<i32> = Vec::new();
    for (block, _) in blocks {
        let Ok(Body::Columns { first, columns }) = &block.content else {
            continue;
        };
        let Some(Ok(assets)) = assets.get(&block.gateway_id) else {
            continue;
        };
        if unfit(*first, columns).is_some() {
            continue;
        }
        for column in columns {
            if let (SignalRef::Named { .. }, Some(&asset)) =
                (&column.def.signal, assets.get(&column.asset))
            {
                wanted.push((asset, column.source.number(), &column.def));
                gateways.push(block.gateway_id);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let mut room: HashMap<i32, i64> = HashMap::new();
    let sql = include_str!("../../queries/count_extra_signals.sql");
    for row in client.query(sql, &[&gateways]).await? {
        room.insert(
            row.get("gateway_id"),
            MOST_NAMED - row.get::<_, i64>("signals"),
        );
    }
    for gateway in &gateways {
        *room.entry(*gateway).or_insert(MOST_NAMED) -= 1;
    }
    let may: Vec<bool> = gateways.iter().map(|gateway| room[gateway] >= 0).collect();
    number_signals(client, &wanted, &may).await
}

/// The numbers of signals outside the catalogue; those that have none get one where they may.
pub(crate) async fn number_signals<'a>(
    client: &Client,
    wanted: &[ExtraKey<'a>],
    may: &[bool],
) -> Result<HashMap<ExtraKey<'a>, i32>, Trouble> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let assets: Vec<i32> = wanted.iter().map(|(asset, ..)| *asset).collect();
    let sources: Vec<i16> = wanted.iter().map(|(_, source, _)| *source).collect();
    let names: Vec<&str> = wanted.iter().map(|(.., def)| def.signal.name()).collect();
    let units: Vec<&str> = wanted.iter().map(|(.., def)| def.signal.unit()).collect();
    let mut kinds: Vec<i16> = Vec::new();
    let mut scales: Vec<String> = Vec::new();
    let mut shifts: Vec<String> = Vec::new();
    for (kind, scale, shift) in wanted.iter().map(|(.., def)| parts(&def.encoding)) {
        kinds.push(kind);
        scales.push(format!("{}e{}", scale.mantissa(), scale.exponent()));
        shifts.push(format!("{}e{}", shift.mantissa(), shift.exponent()));
    }
    let sql = include_str!("../../queries/ensure_extra_signals.sql");
    client
        .execute(
            sql,
            &[
                &assets, &sources, &names, &units, &kinds, &scales, &shifts, &may,
            ],
        )
        .await?;
    let sql = include_str!("../../queries/extra_signals.sql");
    let rows = client
        .query(
            sql,
            &[&assets, &sources, &names, &units, &kinds, &scales, &shifts],
        )
        .await?;
    let found: HashMap<ExtraKey<'a>, i32> = rows
        .iter()
        .filter_map(|row| {
            // WITH ORDINALITY counts from 1.
            let place = usize::try_from(row.get::<_, i64>("place")).ok()?;
            Some((*wanted.get(place.checked_sub(1)?)?, row.get("id")))
        })
        .collect();
    let is_there = |(key, may): (&ExtraKey<'_>, &bool)| !may || found.contains_key(key);
    if wanted.iter().zip(may).all(is_there) {
        Ok(found)
    } else {
        Err(Trouble::Stale)
    }
}

/// A definition that is not in the database yet.
pub(crate) struct NewColumn {
    epoch_id: i64,
    number: u32,
    plan: ColumnPlan,
}

/// Compares definitions with those that are there. A block that defines a known number otherwise is quarantined.
pub(crate) async fn judge(
    tx: &Transaction<'_>,
    batch: &mut Batch<'_, '_>,
) -> Result<Vec<NewColumn>, Trouble> {
    let mut known: BTreeMap<i64, EpochColumns> = BTreeMap::new();
    let mut new = Vec::new();
    for at in batch.places_of(|work| matches!(work, Work::Columns(..))) {
        let block = &batch.blocks[at];
        let Work::Columns(first, plans) = &block.work else {
            continue;
        };
        let epoch_id = block.epoch_id;
        let columns = match known.entry(epoch_id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let statement = tx
                    .prepare_cached(include_str!("../../queries/columns.sql"))
                    .await?;
                let rows = tx.query(&statement, &[&epoch_id]).await?;
                entry.insert(EpochColumns::from_rows(&rows))
            }
        };
        let numbered = || (*first..).zip(plans);
        let changed = numbered().find_map(|(number, plan)| {
            let old = columns.get(number)?;
            (old.column != plan.column).then(|| {
                format!(
                    "column {number} is {} of {} by {}, and cannot become {} of {} by {}",
                    old.column.def.signal.name(),
                    old.column.asset,
                    old.column.source.name(),
                    plan.column.def.signal.name(),
                    plan.column.asset,
                    plan.column.source.name()
                )
            })
        });
        if let Some(detail) = changed {
            batch.resolve(at, Work::Quarantine(Reason::ColumnChanged, detail));
            continue;
        }
        for (number, plan) in numbered() {
            if columns.get(number).is_none() {
                columns.insert(number, plan.clone());
                new.push(NewColumn {
                    epoch_id,
                    number,
                    plan: plan.clone(),
                });
            }
        }
    }
    Ok(new)
}

/// Inserts definitions.
pub(crate) async fn insert(tx: &Transaction<'_>, new: &[NewColumn]) -> Result<(), Trouble> {
    if new.is_empty() {
        return Ok(());
    }
    let epochs: Vec<i64> = new.iter().map(|column| column.epoch_id).collect();
    let numbers: Vec<i32> = new
        .iter()
        .map(|column| column.number.cast_signed())
        .collect();
    let assets: Vec<i32> = new.iter().map(|column| column.plan.asset).collect();
    let keys: Vec<&str> = new
        .iter()
        .map(|column| column.plan.column.asset.as_str())
        .collect();
    let sources: Vec<i16> = new
        .iter()
        .map(|column| column.plan.column.source.number())
        .collect();
    let mut signals: Vec<Option<i32>> = Vec::new();
    let mut extras: Vec<Option<i32>> = Vec::new();
    let mut names: Vec<Option<&str>> = Vec::new();
    let mut units: Vec<Option<&str>> = Vec::new();
    for column in new {
        let signal = &column.plan.column.def.signal;
        let (id, extra) = match column.plan.target {
            Target::Wide(slot) => (Some(layout().slot(slot).signal.id), None),
            Target::Unknown(id) => (Some(id), None),
            Target::Extra(extra) => (None, Some(extra)),
        };
        signals.push(id.map(|id| id.0.into()));
        extras.push(extra);
        names.push(extra.map(|_| signal.name()));
        units.push(extra.map(|_| signal.unit()));
    }
    let encodings = new
        .iter()
        .map(|column| parts(&column.plan.column.def.encoding));
    let mut kinds: Vec<i16> = Vec::new();
    let mut scales: (Vec<i64>, Vec<i16>) = Default::default();
    let mut shifts: (Vec<i64>, Vec<i16>) = Default::default();
    for (kind, scale, shift) in encodings {
        kinds.push(kind);
        scales.0.push(scale.mantissa());
        scales.1.push(scale.exponent().into());
        shifts.0.push(shift.mantissa());
        shifts.1.push(shift.exponent().into());
    }
    let sql = include_str!("../../queries/insert_columns.sql");
    tx.execute(
        sql,
        &[
            &epochs, &numbers, &assets, &keys, &sources, &signals, &extras, &names, &units, &kinds,
            &scales.0, &scales.1, &shifts.0, &shifts.1,
        ],
    )
    .await?;
    Ok(())
}
