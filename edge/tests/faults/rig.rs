//! A ledger on a folder, and a cloud that remembers what it was shown.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use edge::{
    buffer::{Buffer, Options, Sample, Settlement, StoreError, StoredBlock, StreamTotals},
    clock::Clock,
};
use shared_protocol::{
    BlockNumber, Body, Column, Digest, Encoding, SignalDef, SignalRef, SigningKey, Source, Verdict,
    block::SealedBlock, catalogue,
};

pub(crate) const SIGNALS: [&str; 3] = [
    "ErrorCode",
    "Vehicle.Speed",
    "Vehicle.Exterior.AirTemperature",
];

/// Chance that can be repeated (SplitMix64).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

/// Opens the ledger; waits while the writer of an earlier one has not let go of the folder yet.
pub(crate) async fn open(folder: &Path, quota: u64) -> Result<Buffer, StoreError> {
    for _ in 0..500 {
        let options = Options {
            folder: folder.to_owned(),
            quota,
            gateway: "depot-1".parse().unwrap(),
            key: key(),
        };
        match Buffer::open(options, Arc::new(Clock::start().unwrap())) {
            Err(StoreError::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other,
        }
    }
    panic!("the folder is never free")
}

pub(crate) fn column(buffer: &Buffer, signal: &str) -> u32 {
    let signal = SignalRef::Catalogue(catalogue().by_name(signal).unwrap().id);
    buffer.columns().number(&Column {
        asset: "car-01".parse().unwrap(),
        source: Source::Can,
        def: SignalDef {
            signal,
            encoding: Encoding::PLAIN,
        },
    })
}

/// Samples whose raw integers tell them apart, from `first` on.
pub(crate) fn samples(column: u32, first: i64, count: i64) -> Vec<Sample> {
    (first..first + count)
        .map(|raw| Sample {
            column,
            time_us: raw * 1000,
            raw,
        })
        .collect()
}

/// All that is to be sent.
pub(crate) async fn blocks(buffer: &Buffer) -> Vec<StoredBlock> {
    let mut all = Vec::new();
    for priority in 0..5 {
        all.extend(buffer.to_send(priority, 0, false, 1_000_000).await.unwrap());
    }
    all
}

/// The sums of a ledger that adds up.
pub(crate) fn totals(buffer: &Buffer) -> StreamTotals {
    let state = buffer.state();
    let state = state.borrow();
    let mut sum = state.totals[0];
    assert!(
        state.totals.iter().all(StreamTotals::conserved),
        "{:?}",
        state.totals
    );
    for other in &state.totals[1..] {
        sum.produced += other.produced;
        sum.open += other.open;
        sum.buffered += other.buffered;
        sum.acknowledged += other.acknowledged;
        sum.dropped += other.dropped;
        sum.thinned += other.thinned;
        sum.refused += other.refused;
        sum.damaged += other.damaged;
    }
    sum
}

/// A cloud that stores what it is shown and checks that no number comes with two contents.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
    seen: HashMap<BlockNumber, Digest>,
    stored: BTreeMap<BlockNumber, Vec<i64>>,
    /// Samples that gap records and thinned blocks say are absent.
    pub(crate) absent: u64,
}

impl Cloud {
    /// Looks at a block, as the uplink publishes it.
    pub(crate) fn look(&mut self, block: &StoredBlock, seed: u64) -> Body {
        let sealed = SealedBlock::open(&block.bytes).unwrap();
        sealed.verify(&key().verifying_key()).unwrap();
        assert_eq!(
            (sealed.header.number, sealed.digest),
            (block.number, block.digest)
        );
        let body = sealed.content().unwrap();
        let before = self.seen.insert(block.number, block.digest);
        assert!(
            before.is_none_or(|before| before == block.digest) || matches!(body, Body::Gap(_)),
            "number {} came with another content (seed {seed})",
            block.number
        );
        body
    }

    /// Stores a block; returns its word.
    pub(crate) fn store(&mut self, block: &StoredBlock, seed: u64) -> Settlement {
        let body = self.look(block, seed);
        if !self.stored.contains_key(&block.number) {
            let header = SealedBlock::open(&block.bytes).unwrap().header;
            self.absent += u64::from(header.thinned);
            let raws = match body {
                Body::Samples(body) => body.iter().map(|(_, _, raw)| raw).collect(),
                Body::Gap(_) => {
                    self.absent += u64::from(header.samples);
                    Vec::new()
                }
                _ => Vec::new(),
            };
            self.stored.insert(block.number, raws);
        }
        Settlement::Block(block.number, block.digest, Verdict::Stored)
    }

    /// Every sample stored, none twice.
    pub(crate) fn all(&self, seed: u64) -> BTreeSet<i64> {
        let mut all = BTreeSet::new();
        for raw in self.stored.values().flatten() {
            assert!(all.insert(*raw), "{raw} is stored twice (seed {seed})");
        }
        all
    }
}

/// Stores all that a ledger holds.
pub(crate) async fn drain(buffer: &Buffer, cloud: &mut Cloud, seed: u64) {
    let settlements = blocks(buffer)
        .await
        .iter()
        .map(|block| cloud.store(block, seed))
        .collect();
    buffer.settle(settlements).await.unwrap();
    buffer.flush().await.unwrap();
}

/// Runs seed after seed: so many when all are wanted (`PATIO_DEEP`), else as many as fit into the time, at least one.
/// `PATIO_SEED` repeats one.
pub(crate) async fn seeds<F: Future<Output = ()>>(what: &str, deep: u64, run: impl Fn(u64) -> F) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("PATIO_SEED") {
        return run(seed).await;
    }
    let budget = Duration::from_secs(number("PATIO_TEST_SECONDS").unwrap_or(60));
    let all = std::env::var_os("PATIO_DEEP").is_some();
    let (began, mut done) = (Instant::now(), 0);
    while done < deep && (done == 0 || all || began.elapsed() < budget) {
        println!("{what}: PATIO_SEED={done} repeats what follows");
        run(done).await;
        done += 1;
    }
    eprintln!("{what}: {done} seeds of {deep}");
}
