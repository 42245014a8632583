//! Charging transactions as their stations told them, or as gateways made them of what they read of a station that tells none
//! (`telemetry.charging_transaction`). Gateways tell each step of one as a
//! record of kind `transaction.started`, `.updated` or `.ended`, numbered from 0 within the transaction; a step may come again,
//! and steps come in any order. They move the transaction in the transaction that stores them. The session that people pay
//! for, with its vehicle and its cost, is made elsewhere, of this.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use platform::DbError;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

use crate::{read::MOST_ROWS, trouble::Trouble};

/// Longest name of a station or a transaction, in bytes: OCPP has 36 characters for one and 48 for the other.
const LONGEST_NAME: usize = 200;

/// One step of a transaction, as a gateway tells it. Energy is in mWh: exact for every register that counts in Wh.
#[derive(Clone, Debug, Deserialize)]
struct Step {
    station: String,
    transaction: String,
    entry: u32,
    evse: Option<i32>,
    token: Option<String>,
    started: Option<Timestamp>,
    time: Option<Timestamp>,
    reason: Option<String>,
    register_mwh: Option<i64>,
    energy_mwh: i64,
    register_resets: u32,
    #[serde(default)]
    beginning_unknown: bool,
    #[serde(default)]
    incomplete: bool,
}

/// What a batch tells of one transaction.
struct Told {
    /// The step with the greatest number.
    latest: Step,
    at: Timestamp,
    asset: Option<i32>,
    ended_at: Option<Timestamp>,
    reason: Option<String>,
    beginning_unknown: bool,
    incomplete: bool,
    entries: BTreeSet<u32>,
}

/// 2000 and 2200: a station's clock may say anything, and what no transaction can have is as if it were not told.
const SANE: (Timestamp, Timestamp) = (
    Timestamp::constant(946_684_800, 0),
    Timestamp::constant(7_258_118_400, 0),
);

fn sane(time: Option<Timestamp>) -> Option<Timestamp> {
    time.filter(|time| (SANE.0..SANE.1).contains(time))
}

/// What records tell of transactions, by gateway, station and name; in that order they are written, so that no two ingestors
/// wait for each other. What is no step stays a record.
#[derive(Default)]
pub(crate) struct Tidings(BTreeMap<(i32, String, String), Told>);

impl Tidings {
    /// A record of a gateway.
    pub(crate) fn add(
        &mut self,
        gateway: i32,
        kind: &str,
        payload: &str,
        at: Timestamp,
        asset: Option<i32>,
    ) {
        let ended = match kind {
            "transaction.started" | "transaction.updated" => false,
            "transaction.ended" => true,
            _ => return,
        };
        let step = match serde_json::from_str::<Step>(payload) {
            Ok(step) if step.station.len().max(step.transaction.len()) <= LONGEST_NAME => step,
            Ok(_) => {
                tracing::warn!(
                    gateway,
                    kind,
                    "a name in a record is too long: it stays a record"
                );
                return;
            }
            Err(error) => {
                tracing::warn!(gateway, kind, %error, "a record tells of no transaction: it stays a record");
                return;
            }
        };
        let key = (gateway, step.station.clone(), step.transaction.clone());
        let told = self.0.entry(key).or_insert_with(|| Told {
            latest: step.clone(),
            at,
            asset: None,
            ended_at: None,
            reason: None,
            beginning_unknown: false,
            incomplete: false,
            entries: BTreeSet::new(),
        });
        told.entries.insert(step.entry);
        told.asset = asset.or(told.asset);
        told.beginning_unknown |= step.beginning_unknown;
        told.incomplete |= step.incomplete;
        if ended {
            told.ended_at = Some(sane(step.time).unwrap_or(at));
        }
        if step.reason.is_some() {
            told.reason.clone_from(&step.reason);
        }
        if step.entry > told.latest.entry {
            (told.latest, told.at) = (step, at);
        }
    }

    pub(crate) async fn write(self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        if self.0.is_empty() {
            return Ok(());
        }
        let all = || self.0.iter();
        let latest = || self.0.values().map(|told| &told.latest);
        let gateways: Vec<i32> = all().map(|((gateway, ..), _)| *gateway).collect();
        let stations: Vec<&str> = all().map(|((_, station, _), _)| station.as_str()).collect();
        let names: Vec<&str> = all().map(|((.., name), _)| name.as_str()).collect();
        let assets: Vec<Option<i32>> = all().map(|(_, told)| told.asset).collect();
        let evses: Vec<Option<i32>> = latest().map(|step| step.evse).collect();
        let tokens: Vec<Option<&str>> = latest().map(|step| step.token.as_deref()).collect();
        let started: Vec<Option<Timestamp>> = latest().map(|step| sane(step.started)).collect();
        let ended: Vec<Option<Timestamp>> = all().map(|(_, told)| told.ended_at).collect();
        let reasons: Vec<Option<&str>> = all().map(|(_, told)| told.reason.as_deref()).collect();
        let registers: Vec<Option<i64>> = latest().map(|step| step.register_mwh).collect();
        let energies: Vec<i64> = latest().map(|step| step.energy_mwh).collect();
        let resets: Vec<i32> = latest()
            .map(|step| i32::try_from(step.register_resets).unwrap_or(i32::MAX))
            .collect();
        let unknown: Vec<bool> = all().map(|(_, told)| told.beginning_unknown).collect();
        let incomplete: Vec<bool> = all().map(|(_, told)| told.incomplete).collect();
        let entries: Vec<i64> = latest().map(|step| step.entry.into()).collect();
        let ranges: Vec<String> = all().map(|(_, told)| ranges(&told.entries)).collect();
        let times: Vec<Timestamp> = all().map(|(_, told)| told.at).collect();
        let statement = tx
            .prepare_cached(include_str!("../queries/charging_transactions.sql"))
            .await?;
        tx.execute(
            &statement,
            &[
                &gateways,
                &stations,
                &names,
                &assets,
                &evses,
                &tokens,
                &started,
                &ended,
                &reasons,
                &registers,
                &energies,
                &resets,
                &unknown,
                &incomplete,
                &entries,
                &ranges,
                &times,
            ],
        )
        .await?;
        Ok(())
    }
}

/// As PostgreSQL writes an `int8multirange`; it joins those that touch.
fn ranges(entries: &BTreeSet<u32>) -> String {
    let each: Vec<String> = entries
        .iter()
        .map(|&entry| format!("[{entry},{})", u64::from(entry) + 1))
        .collect();
    format!("{{{}}}", each.join(","))
}

/// Which transactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Only of this station.
    pub asset: Option<i32>,
    /// Only those that go on, or only those that have ended.
    pub open: Option<bool>,
    /// Only those that began then or later (ended, when their beginning was not told) …
    pub from: Option<Timestamp>,
    /// … and before this.
    pub to: Option<Timestamp>,
    /// Only those with a lesser number.
    pub before: Option<i64>,
}

/// A charging transaction, as its station told it, or as its gateway made it of what it read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ChargingTransaction {
    /// Its number here.
    pub id: i64,
    /// The station.
    pub asset: Option<i32>,
    /// As the station calls itself, or its gateway does where it is only read.
    #[schema(example = "CS-07")]
    pub station: String,
    /// The number that it was given (OCPP 1.6), the station's own name of it (2.0.1), or the gateway's where the station is only
    /// read.
    pub transaction: String,
    /// Its EVSE (2.0.1) or connector (1.6).
    pub evse: Option<i32>,
    /// Whose token began it; null: none was told.
    pub token: Option<String>,
    /// When it began, by the station's clock; null: that was never told.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the station's clock; null: it goes on, or its end was not told yet.
    pub ended_at: Option<Timestamp>,
    /// Why it ended, in OCPP's words.
    #[schema(example = "EVDisconnected")]
    pub reason: Option<String>,
    /// The station's energy register as it was told last, in Wh.
    pub register_wh: Option<f64>,
    /// Energy since its beginning, in Wh.
    pub energy_wh: f64,
    /// How often the register went back meanwhile.
    pub register_resets: i32,
    /// When its latest step was received.
    pub told_at: Timestamp,
    /// Whether it has ended and all of it was told: its energy changes no more, nothing of it is missing, and it is of one car.
    pub whole: bool,
}

/// Transactions, newest first, one more than `most`, in a transaction of the organisation whose stations they were at.
pub async fn transactions(
    client: &Client,
    wanted: &Wanted,
    most: u32,
) -> Result<Vec<ChargingTransaction>, DbError> {
    let sql = include_str!("../queries/own_transactions.sql");
    let limit = i64::from(most.clamp(1, MOST_ROWS)) + 1;
    let Wanted {
        asset,
        open,
        from,
        to,
        before,
    } = wanted;
    let rows = client
        .query(sql, &[asset, open, from, to, before, &limit])
        .await?;
    // mWh up to 9 TWh are exact in a double.
    let wh = |mwh: i64| mwh as f64 / 1000.0;
    let one = |row: &Row| ChargingTransaction {
        id: row.get("id"),
        asset: row.get("asset_id"),
        station: row.get("station"),
        transaction: row.get("name"),
        evse: row.get("evse"),
        token: row.get("token"),
        started_at: row.get("started_at"),
        ended_at: row.get("ended_at"),
        reason: row.get("reason"),
        register_wh: row.get::<_, Option<i64>>("register_mwh").map(wh),
        energy_wh: wh(row.get("energy_mwh")),
        register_resets: row.get("register_resets"),
        told_at: row.get("told_at"),
        whole: row.get("whole"),
    };
    Ok(rows.iter().map(one).collect())
}
