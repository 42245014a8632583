//! What an ingestor remembers of committed rows that never change again, and how it makes sure that rows exist
//! before a transaction locks them. All of it is idempotent and runs outside the transactions of blocks, so that
//! those only ever lock existing rows, in one order.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use platform::Client;
use shared_protocol::Epoch;

use super::states::IsState;
use crate::{columns::EpochColumns, layout::layout, trouble::Trouble};

/// More than any fleet has at a time; what is forgotten is asked for again.
const MOST: usize = 100_000;
/// Most epochs of one gateway: one a day for 27 years, and a thousand in a bad night.
pub(crate) const MOST_EPOCHS: i64 = 10_000;
/// Definitions are larger.
const MOST_EPOCHS_WITH_COLUMNS: usize = 5_000;

/// An epoch's number here, and the key that signs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownEpoch {
    pub(crate) id: i64,
    pub(crate) key: i32,
}

/// An asset's source: the key of the rows of latest values.
pub(crate) type AssetSource = (i32, i16);

#[derive(Debug, Default)]
struct Remembered {
    generation: u64,
    epochs: HashMap<(i32, Epoch), KnownEpoch>,
    ledgers: HashSet<(i64, i16)>,
    /// By [`Latest`].
    latest: [HashSet<AssetSource>; 2],
    boots: HashSet<(i32, u64)>,
    columns: HashMap<i64, Arc<EpochColumns>>,
    states: Option<IsState>,
}

/// The memory of an ingestor.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Remembered>);

/// Which table of latest values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latest {
    Catalogue,
    Extra,
}

impl Known {
    fn memory(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything that was seen before the latest connection was made: behind that there may be another
    /// database, a standby that took over or a restored backup.
    pub(crate) fn be_sure(&self, generation: u64) {
        let mut memory = self.memory();
        if memory.generation != generation {
            *memory = Remembered {
                generation,
                ..Remembered::default()
            };
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut memory = self.memory();
        let generation = memory.generation;
        *memory = Remembered {
            generation,
            ..Remembered::default()
        };
    }

    /// Remembers what was seen in a generation, unless that has passed.
    fn remember(&self, generation: u64, what: impl FnOnce(&mut Remembered)) {
        let mut memory = self.memory();
        if memory.generation == generation {
            what(&mut memory);
        }
    }

    /// The epochs of gateways; new ones are bound to the key that signed their first block. Those beyond the last that a
    /// gateway may begin are left out.
    pub(crate) async fn epochs(
        &self,
        client: &Client,
        wanted: &BTreeSet<(i32, Epoch, i32)>,
    ) -> Result<HashMap<(i32, Epoch), KnownEpoch>, Trouble> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        let generation = {
            let memory = self.memory();
            for &(gateway, epoch, key) in wanted {
                match memory.epochs.get(&(gateway, epoch)) {
                    Some(known) => drop(found.insert((gateway, epoch), *known)),
                    None => missing.push((gateway, epoch, key)),
                }
            }
            memory.generation
        };
        if missing.is_empty() {
            return Ok(found);
        }
        let full = full_gateways(client, &missing).await?;
        let may_begin = |missing: &(i32, Epoch, i32)| !full.contains(&missing.0);
        let gateways: Vec<i32> = missing.iter().map(|(gateway, ..)| *gateway).collect();
        let begin: Vec<bool> = missing.iter().map(may_begin).collect();
        let counters: Vec<i64> = missing
            .iter()
            .map(|(_, epoch, _)| epoch.counter.into())
            .collect();
        let nonces: Vec<i64> = missing
            .iter()
            .map(|(_, epoch, _)| epoch.nonce.cast_signed())
            .collect();
        let keys: Vec<i32> = missing.iter().map(|(.., key)| *key).collect();
        let sql = include_str!("../../queries/ensure_epochs.sql");
        client
            .execute(sql, &[&gateways, &counters, &nonces, &keys, &begin])
            .await?;
        let sql = include_str!("../../queries/epochs.sql");
        let rows = client.query(sql, &[&gateways, &counters, &nonces]).await?;
        let mut new = Vec::new();
        for row in rows {
            let epoch = Epoch {
                counter: row.get::<_, i64>("counter") as u32,
                nonce: row.get::<_, i64>("nonce").cast_unsigned(),
            };
            let known = KnownEpoch {
                id: row.get("id"),
                key: row.get("key_id"),
            };
            new.push(((row.get("gateway_id"), epoch), known));
        }
        found.extend(new.iter().copied());
        self.remember(generation, |memory| {
            if memory.epochs.len() >= MOST {
                memory.epochs.clear();
            }
            memory.epochs.extend(new);
        });
        Ok(found)
    }

    /// What is not known yet, and the generation in which that was so.
    fn missing<T: Copy + Ord + Hash>(
        &self,
        wanted: &BTreeSet<T>,
        known: impl Fn(&Remembered) -> &HashSet<T>,
    ) -> (Vec<T>, u64) {
        let memory = self.memory();
        let known = known(&memory);
        let missing = wanted.iter().filter(|key| !known.contains(key));
        (missing.copied().collect(), memory.generation)
    }

    /// Makes sure that there are ledger rows.
    pub(crate) async fn ensure_ledgers(
        &self,
        client: &Client,
        wanted: &BTreeSet<(i64, i16)>,
    ) -> Result<(), Trouble> {
        let (missing, generation) = self.missing(wanted, |memory| &memory.ledgers);
        if missing.is_empty() {
            return Ok(());
        }
        let (epochs, streams): (Vec<_>, Vec<_>) = missing.iter().copied().unzip();
        let sql = include_str!("../../queries/ensure_ledgers.sql");
        client.execute(sql, &[&epochs, &streams]).await?;
        self.remember(generation, |memory| add(&mut memory.ledgers, missing));
        Ok(())
    }

    /// Makes sure that there are rows of latest values.
    pub(crate) async fn ensure_latest(
        &self,
        client: &Client,
        which: Latest,
        wanted: &BTreeSet<AssetSource>,
    ) -> Result<(), Trouble> {
        let (missing, generation) = self.missing(wanted, |memory| &memory.latest[which as usize]);
        if missing.is_empty() {
            return Ok(());
        }
        let (assets, sources): (Vec<_>, Vec<_>) = missing.iter().copied().unzip();
        let sql = match which {
            Latest::Catalogue => include_str!("../../queries/ensure_latest.sql"),
            Latest::Extra => include_str!("../../queries/ensure_extra_latest.sql"),
        };
        client.execute(sql, &[&assets, &sources]).await?;
        self.remember(generation, |memory| {
            add(&mut memory.latest[which as usize], missing);
        });
        Ok(())
    }

    /// Makes sure that there are rows of boots, to lock.
    pub(crate) async fn ensure_boots(
        &self,
        client: &Client,
        wanted: &BTreeSet<(i32, u64)>,
    ) -> Result<(), Trouble> {
        if wanted.is_empty() {
            return Ok(());
        }
        let (gateways, boots): (Vec<i32>, Vec<i64>) = wanted
            .iter()
            .map(|(gateway, boot)| (*gateway, boot.cast_signed()))
            .unzip();
        let sql = include_str!("../../queries/ensure_boots.sql");
        client.execute(sql, &[&gateways, &boots]).await?;
        Ok(())
    }

    /// Keeps the offsets of boots that are not known to be known; true when there was one.
    pub(crate) async fn learn_boots(
        &self,
        client: &Client,
        offsets: &HashMap<(i32, u64), i64>,
    ) -> Result<bool, Trouble> {
        let wanted: BTreeSet<(i32, u64)> = offsets.keys().copied().collect();
        let (missing, generation) = self.missing(&wanted, |memory| &memory.boots);
        if missing.is_empty() {
            return Ok(false);
        }
        let (gateways, boots): (Vec<i32>, Vec<i64>) = missing
            .iter()
            .map(|(gateway, boot)| (*gateway, boot.cast_signed()))
            .unzip();
        let learnt: Vec<i64> = missing.iter().map(|boot| offsets[boot]).collect();
        let sql = include_str!("../../queries/learn_boots.sql");
        client.execute(sql, &[&gateways, &boots, &learnt]).await?;
        self.remember(generation, |memory| add(&mut memory.boots, missing));
        Ok(true)
    }

    /// Which slots are states.
    pub(crate) async fn states(&self, client: &Client) -> Result<IsState, Trouble> {
        let (known, generation) = {
            let memory = self.memory();
            (memory.states.clone(), memory.generation)
        };
        if let Some(states) = known {
            return Ok(states);
        }
        let sql = include_str!("../../queries/state_signals.sql");
        let rows = client.query(sql, &[]).await?;
        let columns: HashSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        let slots = layout().slots.iter();
        let states: IsState = slots
            .map(|slot| columns.contains(slot.signal.column.as_str()))
            .collect();
        self.remember(generation, |memory| {
            memory.states = Some(Arc::clone(&states));
        });
        Ok(states)
    }

    /// The columns of an epoch; asks again when told so.
    pub(crate) async fn columns(
        &self,
        client: &Client,
        epoch_id: i64,
        again: bool,
    ) -> Result<Arc<EpochColumns>, Trouble> {
        let (known, generation) = {
            let memory = self.memory();
            (memory.columns.get(&epoch_id).cloned(), memory.generation)
        };
        if let Some(columns) = known
            && !again
        {
            return Ok(columns);
        }
        let statement = client
            .prepare_cached(include_str!("../../queries/columns.sql"))
            .await?;
        let rows = client.query(&statement, &[&epoch_id]).await?;
        let columns = Arc::new(EpochColumns::from_rows(&rows));
        self.remember(generation, |memory| {
            if memory.columns.len() >= MOST_EPOCHS_WITH_COLUMNS {
                memory.columns.clear();
            }
            memory.columns.insert(epoch_id, Arc::clone(&columns));
        });
        Ok(columns)
    }
}

/// The gateways that may begin no further epoch.
async fn full_gateways(
    client: &Client,
    wanted: &[(i32, Epoch, i32)],
) -> Result<HashSet<i32>, Trouble> {
    let gateways: Vec<i32> = wanted.iter().map(|(gateway, ..)| *gateway).collect();
    let sql = include_str!("../../queries/count_epochs.sql");
    let mut full = HashSet::new();
    for row in client.query(sql, &[&gateways]).await? {
        let gateway: i32 = row.get("gateway_id");
        let new = gateways.iter().filter(|other| **other == gateway).count() as i64;
        if row.get::<_, i64>("epochs") + new > MOST_EPOCHS {
            full.insert(gateway);
        }
    }
    Ok(full)
}

fn add<T: Eq + Hash>(known: &mut HashSet<T>, new: Vec<T>) {
    if known.len() >= MOST {
        known.clear();
    }
    known.extend(new);
}
