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
    stored: BTreeMap<BlockNumber, Stored>,
    /// What it was shown and has not stored yet: it is still with the broker.
    under_way: Vec<StoredBlock>,
}

/// What a cloud has of a number.
#[derive(Debug)]
struct Stored {
    digest: Digest,
    is_gap: bool,
    raws: Vec<i64>,
    /// Samples that it says are absent: thinned, or all of a gap record.
    absent: u64,
}

impl Cloud {
    /// Looks at a block, as the uplink publishes it.
    pub(crate) fn look(&mut self, block: &StoredBlock, seed: u64) {
        let sealed = SealedBlock::open(&block.bytes).unwrap();
        sealed.verify(&key().verifying_key()).unwrap();
        assert_eq!(
            (sealed.header.number, sealed.digest),
            (block.number, block.digest)
        );
        let is_gap = matches!(sealed.content().unwrap(), Body::Gap(_) | Body::Gaps { .. });
        let before = self.seen.insert(block.number, block.digest);
        assert!(
            before.is_none_or(|before| before == block.digest) || is_gap,
            "number {} came with another content (seed {seed})",
            block.number
        );
    }

    /// Stores a block; returns its word, as the ingestor gives it: a block wins over a gap record.
    pub(crate) fn store(&mut self, block: &StoredBlock, seed: u64) -> Vec<Settlement> {
        self.look(block, seed);
        self.keep(block)
    }

    fn keep(&mut self, block: &StoredBlock) -> Vec<Settlement> {
        let sealed = SealedBlock::open(&block.bytes).unwrap();
        let (header, body) = (sealed.header.clone(), sealed.content().unwrap());
        let stored = |digest| Settlement::Block(block.number, digest, Verdict::Stored);
        let is_gap = matches!(body, Body::Gap(_) | Body::Gaps { .. });
        if let Body::Gaps { last, .. } = body {
            let mut absent = u64::from(header.samples) + u64::from(header.thinned);
            for seq in block.number.seq..=last {
                let number = BlockNumber {
                    seq,
                    ..block.number
                };
                self.stored.entry(number).or_insert_with(|| Stored {
                    digest: block.digest,
                    is_gap,
                    raws: Vec::new(),
                    absent: std::mem::take(&mut absent),
                });
            }
            return vec![stored(block.digest)];
        }
        let mut said = vec![stored(block.digest)];
        match self.stored.get(&block.number) {
            Some(before) if !before.is_gap => said.push(stored(before.digest)),
            Some(_) if is_gap => {}
            _ => {
                let (raws, gone) = match body {
                    Body::Samples(body) => (body.iter().map(|(_, _, raw)| raw).collect(), 0),
                    Body::Gap(_) => (Vec::new(), header.samples),
                    _ => (Vec::new(), 0),
                };
                let new = Stored {
                    digest: block.digest,
                    is_gap,
                    raws,
                    absent: u64::from(gone) + u64::from(header.thinned),
                };
                self.stored.insert(block.number, new);
            }
        }
        said
    }

    /// A block is published, and does not arrive yet.
    pub(crate) fn delay(&mut self, block: StoredBlock, seed: u64) {
        self.look(&block, seed);
        self.under_way.push(block);
    }

    /// Whether blocks are delayed.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// One of the delayed blocks arrives; its word.
    pub(crate) fn arrive(&mut self, chance: &mut Chance) -> Vec<Settlement> {
        if !self.is_under_way() {
            return Vec::new();
        }
        let place = chance.below(self.under_way.len() as u64) as usize;
        let block = self.under_way.swap_remove(place);
        self.keep(&block)
    }

    /// Samples that gap records and thinned blocks say are absent.
    pub(crate) fn absent(&self) -> u64 {
        self.stored.values().map(|stored| stored.absent).sum()
    }

    /// All numbers that are closed, as the answer to a hello names them.
    pub(crate) fn closed(&self, hello: u64) -> Vec<Settlement> {
        let mut streams: BTreeMap<_, Vec<(u64, u64)>> = BTreeMap::new();
        for number in self.stored.keys() {
            let done = streams.entry((number.epoch, number.stream)).or_default();
            match done.last_mut() {
                Some((_, last)) if *last + 1 == number.seq => *last = number.seq,
                _ => done.push((number.seq, number.seq)),
            }
        }
        let closed = |((epoch, stream), done)| Settlement::Closed {
            epoch,
            stream,
            done,
            hello,
        };
        streams.into_iter().map(closed).collect()
    }

    /// Every sample stored, none twice.
    pub(crate) fn all(&self, seed: u64) -> BTreeSet<i64> {
        let mut all = BTreeSet::new();
        for raw in self.stored.values().flat_map(|stored| &stored.raws) {
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
        .flat_map(|block| cloud.store(block, seed))
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
