//! Reads what the decision needs of transactions and telematics, and keeps what is decided. Any number of processes may do
//! it: each decides by what it reads, and what is certain or said by somebody is not decided again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{Timestamp, ToSpan as _};
use platform::{Client, Db, DbError};
use tokio_postgres::Row;

use crate::matching::{Match, Plug, Session, Signs, Vehicle, matches};

/// Most transactions that are decided together.
const MOST: i64 = 1000;
/// For so long after a transaction began it is looked at what was measured, in hours: what was not clear then will not be.
const LOOKED_AT: i64 = 2;

/// A transaction to be decided, and the asset of its connector.
struct Undecided {
    organization: i32,
    session: Session,
    connector: Option<i32>,
}

/// Decides all transactions whose vehicle is not certain yet; gives how many decisions are new.
///
/// # Errors
/// When the database does not answer; what was decided for organisations before stays.
pub async fn match_all(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    let client = db.system().await?;
    let rows = client
        .query(include_str!("../queries/undecided.sql"), &[&now, &MOST])
        .await?;
    let mut by_organization: BTreeMap<i32, Vec<Undecided>> = BTreeMap::new();
    for one in rows.iter().map(undecided) {
        by_organization
            .entry(one.organization)
            .or_default()
            .push(one);
    }
    let mut changed = 0;
    for (organization, undecided) in by_organization {
        changed += of_organization(&client, organization, undecided, now).await?;
    }
    Ok(changed)
}

fn undecided(row: &Row) -> Undecided {
    Undecided {
        organization: row.get("organization_id"),
        connector: row.get("connector"),
        session: Session {
            id: row.get("id"),
            station: row.get("station"),
            evse: row.get("evse"),
            token: row.get("token"),
            plugged: None,
            began: row.get("started_at"),
            ended: row.get("ended_at"),
            power: Vec::new(),
        },
    }
}

/// By asset, a signal's means by minute.
type Series = HashMap<i32, Vec<(Timestamp, f64)>>;

async fn of_organization(
    client: &Client,
    organization: i32,
    mut undecided: Vec<Undecided>,
    now: Timestamp,
) -> Result<u64, DbError> {
    let until = |session: &Session| {
        let looked_at = session.began.saturating_add(LOOKED_AT.hours());
        let end = session.ended.unwrap_or(now);
        looked_at.unwrap_or(end).min(end)
    };
    let begins = undecided.iter().map(|one| one.session.began);
    let ends = undecided.iter().map(|one| until(&one.session));
    let (Some(from), Some(to)) = (begins.min(), ends.max()) else {
        return Ok(0);
    };
    let from = from.saturating_sub(15.minutes()).unwrap_or(from);
    let to = to.saturating_add(1.minute()).unwrap_or(to);
    let connectors: Vec<i32> = undecided.iter().filter_map(|one| one.connector).collect();
    let given = means(client, &connectors, (from, to), "charger_power").await?;
    let plugged = plugged(client, &undecided).await?;
    for one in &mut undecided {
        let end = until(&one.session);
        let series = one.connector.and_then(|asset| given.get(&asset));
        let during = series.into_iter().flatten();
        let during = during.filter(|(time, _)| (one.session.began..=end).contains(time));
        one.session.power = during.copied().collect();
        one.session.plugged = plugged.get(&one.session.id).copied();
    }
    let rows = client
        .query(include_str!("../queries/signs.sql"), &[&organization])
        .await?;
    let signs = signs(&rows);
    let stations: BTreeSet<i32> = undecided
        .iter()
        .flat_map(|one| [Some(one.session.station), one.connector])
        .flatten()
        .collect();
    let vehicles = vehicles(client, organization, (from, to), &signs, &stations).await?;
    let rows = client
        .query(include_str!("../queries/taken.sql"), &[&organization, &now])
        .await?;
    let taken: Vec<(i32, Timestamp, Option<Timestamp>)> = rows
        .iter()
        .filter_map(|row| Some((row.get(0), row.get::<_, Option<Timestamp>>(1)?, row.get(2))))
        .collect();
    let sessions: Vec<Session> = undecided.into_iter().map(|one| one.session).collect();
    let decided = matches(now, &sessions, &vehicles, &signs, &taken);
    keep(client, organization, &decided, now).await
}

async fn means(
    client: &Client,
    assets: &[i32],
    (from, to): (Timestamp, Timestamp),
    column: &str,
) -> Result<Series, DbError> {
    let (since, until) = (vec![from; assets.len()], vec![to; assets.len()]);
    let sql = include_str!("../queries/means.sql");
    let rows = client
        .query(sql, &[&assets, &since, &until, &column, &from, &to])
        .await?;
    let mut series = Series::new();
    for row in rows {
        let one = series.entry(row.get("asset_id")).or_default();
        let mean: (Timestamp, f64) = (row.get("bucket"), row.get("mean"));
        // Of several sources the first counts.
        if one.last().is_none_or(|last| last.0 < mean.0) {
            one.push(mean);
        }
    }
    Ok(series)
}

async fn plugged(
    client: &Client,
    undecided: &[Undecided],
) -> Result<HashMap<i64, Timestamp>, DbError> {
    let some = undecided.iter().filter(|one| one.connector.is_some());
    let (mut ids, mut assets, mut begins) = (Vec::new(), Vec::new(), Vec::new());
    for one in some {
        ids.push(one.session.id);
        assets.push(one.connector);
        begins.push(one.session.began);
    }
    let sql = include_str!("../queries/plugged.sql");
    let rows = client.query(sql, &[&ids, &assets, &begins]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn signs(rows: &[Row]) -> Signs {
    let mut signs = Signs::default();
    for row in rows {
        let (kind, value, asset): (&str, String, i32) = (row.get(0), row.get(1), row.get(2));
        match kind {
            "card" => {
                signs.cards.insert(value, asset);
            }
            "own_id" => {
                signs.own_ids.insert(value, asset);
            }
            _ => {
                let place = value.split_once('.');
                let place = place
                    .and_then(|(station, evse)| Some((station.parse().ok()?, evse.parse().ok()?)));
                if let Some(place) = place {
                    signs.places.insert(place, asset);
                }
            }
        }
    }
    signs
}

/// Those that were plugged in about then, those that do not tell of a cable, and those that a sign points to.
async fn vehicles(
    client: &Client,
    organization: i32,
    (from, to): (Timestamp, Timestamp),
    signs: &Signs,
    stations: &BTreeSet<i32>,
) -> Result<Vec<Vehicle>, DbError> {
    let sql = include_str!("../queries/plugs.sql");
    let rows = client.query(sql, &[&organization, &from, &to]).await?;
    let mut plugs: BTreeMap<i32, Vec<Plug>> = BTreeMap::new();
    for row in &rows {
        let with: Timestamp = row.get("time");
        let long_ago = with.saturating_sub(1.hour()).unwrap_or(with);
        let without: Option<Timestamp> = row.get("without");
        plugs.entry(row.get("asset_id")).or_default().push(Plug {
            without: without.unwrap_or(long_ago),
            with,
            until: row.get("until"),
        });
    }
    let sql = include_str!("../queries/tellers.sql");
    let tellers = client.query(sql, &[&organization, &to]).await?;
    let named: BTreeSet<i32> = signs
        .cards
        .values()
        .chain(signs.own_ids.values())
        .chain(signs.places.values())
        .copied()
        .collect();
    let mut found: BTreeMap<i32, Vehicle> = BTreeMap::new();
    for row in &tellers {
        let (asset, cable): (i32, Option<Timestamp>) = (row.get("asset_id"), row.get("cable"));
        let about = plugs.contains_key(&asset) || named.contains(&asset) || cable.is_none();
        if !about || stations.contains(&asset) {
            continue;
        }
        let vehicle = Vehicle {
            asset,
            watched: cable.map(|cable| (from, cable)),
            plugs: plugs.remove(&asset).unwrap_or_default(),
            capacity_kwh: row.get("capacity"),
            ..Vehicle::default()
        };
        found.insert(asset, vehicle);
    }
    // What tells nothing at all may still be known by its card.
    for asset in named {
        found.entry(asset).or_insert_with(|| Vehicle {
            asset,
            ..Vehicle::default()
        });
    }
    let assets: Vec<i32> = found.keys().copied().collect();
    let mut power = means(client, &assets, (from, to), "battery_power").await?;
    let mut charge = means(client, &assets, (from, to), "state_of_charge").await?;
    for (asset, vehicle) in &mut found {
        vehicle.power = power.remove(asset).unwrap_or_default();
        vehicle.charge = charge.remove(asset).unwrap_or_default();
    }
    Ok(found.into_values().collect())
}

async fn keep(
    client: &Client,
    organization: i32,
    decided: &[Match],
    now: Timestamp,
) -> Result<u64, DbError> {
    let ids: Vec<i64> = decided.iter().map(|one| one.session).collect();
    let assets: Vec<Option<i32>> = decided.iter().map(|one| one.vehicle).collect();
    let confidences: Vec<f64> = decided.iter().map(|one| one.confidence).collect();
    let certain: Vec<bool> = decided.iter().map(|one| one.certain).collect();
    let words = |one: &Match| {
        let words: Vec<&str> = one.by.iter().map(|kind| kind.word()).collect();
        words.join(" ")
    };
    let evidence: Vec<String> = decided.iter().map(words).collect();
    let sql = include_str!("../queries/decide.sql");
    let changed = client
        .execute(
            sql,
            &[
                &organization,
                &ids,
                &assets,
                &confidences,
                &certain,
                &evidence,
                &now,
            ],
        )
        .await?;
    Ok(changed)
}
