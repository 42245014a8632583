//! When the writer commits, and what: steps 2 and 3 of a sample's life as a function of time. It knows no clock.
//!
//! Every commit is an fsync, and fsyncs wear cards out. While something critical is open there is one every 200 ms, which
//! with those of a checkpoint makes eight a second at most. Otherwise each fsync pays for a second in which there is no
//! other: at most one a second, over any length of time.

use std::time::{Duration, Instant};

use shared_protocol::{Record, Stream};

use super::{Sample, Settlement, store::Tick};

/// With so many samples open and commits failing, sources have to wait: memory is bounded.
pub(super) const MOST_OPEN: usize = 200_000;
/// With so many samples open a commit waits for nothing.
const PRESSING: usize = 100_000;
/// A stream with so many open samples is sealed before its time.
const SEAL_EARLY: usize = 20_000;
/// A stream without open samples keeps room for so many.
const KEPT_ROOM: usize = 4_096;
/// The cloud's word may wait this long for a commit that happens anyway.
const SETTLE_WITHIN: Duration = Duration::from_millis(500);
/// What an fsync pays for.
const A_SYNC: Duration = Duration::from_secs(1);

/// How long samples of a stream stay only in memory, and how long until they are sealed.
struct Rhythm {
    journal: Duration,
    seal: Duration,
}

/// Critical: 200 ms, live: 1 s; both are sealed at once, a journal would only write them twice. Bulk: journalled
/// every 5 s, sealed every minute.
const fn rhythm(stream: Stream) -> Rhythm {
    match stream {
        Stream::Critical | Stream::Columns | Stream::Transactions => Rhythm {
            journal: Duration::from_millis(200),
            seal: Duration::from_millis(200),
        },
        Stream::Live => Rhythm {
            journal: Duration::from_secs(1),
            seal: Duration::from_secs(1),
        },
        Stream::Bulk => Rhythm {
            journal: Duration::from_secs(5),
            seal: Duration::from_secs(60),
        },
    }
}

/// Samples of one stream that are not sealed yet.
#[derive(Debug)]
struct Open {
    stream: Stream,
    samples: Vec<Sample>,
    /// How many of them, from the front, the journal holds.
    journalled: usize,
    /// When the first of them that is only in memory came, and when the first of all.
    unjournalled_since: Option<Instant>,
    open_since: Option<Instant>,
}

impl Open {
    fn due(&self) -> Option<Instant> {
        let rhythm = rhythm(self.stream);
        if self.samples.len() >= SEAL_EARLY {
            return self.open_since;
        }
        let journal = self.unjournalled_since.map(|since| since + rhythm.journal);
        let seal = self.open_since.map(|since| since + rhythm.seal);
        journal.into_iter().chain(seal).min()
    }

    fn to_seal(&self, now: Instant) -> bool {
        self.samples.len() >= SEAL_EARLY
            || self
                .open_since
                .is_some_and(|since| now >= since + rhythm(self.stream).seal)
    }

    fn to_journal(&self, now: Instant) -> bool {
        self.unjournalled_since
            .is_some_and(|since| now >= since + rhythm(self.stream).journal)
    }
}

/// What a commit was to make durable of which nobody knows whether it did.
#[derive(Debug)]
pub(super) struct Parked {
    samples: Vec<(Stream, Vec<Sample>)>,
    records: Vec<Record>,
}

impl Parked {
    /// How many samples.
    pub(super) fn len(&self) -> u64 {
        self.samples
            .iter()
            .map(|(_, samples)| samples.len() as u64)
            .sum()
    }
}

/// What waits for the next commits.
#[derive(Debug)]
pub(super) struct Waiting {
    open: Vec<Open>,
    /// Records of the critical stream, and since when.
    records: Vec<Record>,
    records_since: Option<Instant>,
    settle: Vec<Settlement>,
    settle_since: Option<Instant>,
    /// Until when the latest fsyncs are paid for.
    paid_until: Option<Instant>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        let open = [Stream::Critical, Stream::Live, Stream::Bulk].map(|stream| Open {
            stream,
            samples: Vec::new(),
            journalled: 0,
            unjournalled_since: None,
            open_since: None,
        });
        Self {
            open: open.into(),
            records: Vec::new(),
            records_since: None,
            settle: Vec::new(),
            settle_since: None,
            paid_until: None,
        }
    }

    /// Step 2: a sample is open in its stream.
    pub(super) fn take(&mut self, stream: Stream, sample: Sample, now: Instant) {
        if let Some(open) = self.open.iter_mut().find(|open| open.stream == stream) {
            open.samples.push(sample);
            open.unjournalled_since.get_or_insert(now);
            open.open_since.get_or_insert(now);
        }
    }

    /// A record of the critical stream waits.
    pub(super) fn record(&mut self, record: Record, now: Instant) {
        self.records.push(record);
        self.records_since.get_or_insert(now);
    }

    /// The cloud has spoken.
    pub(super) fn settle(&mut self, settlements: Vec<Settlement>, now: Instant) {
        self.settle.extend(settlements);
        self.settle_since.get_or_insert(now);
    }

    /// How many samples are open, journalled or not.
    pub(super) fn open(&self) -> usize {
        self.open.iter().map(|open| open.samples.len()).sum()
    }

    /// How many of them no commit has made durable.
    pub(super) fn pending(&self) -> u64 {
        let pending = self
            .open
            .iter()
            .map(|open| open.samples.len() - open.journalled);
        pending.sum::<usize>() as u64
    }

    /// When there is something to commit next; `None` when nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let records = self
            .records_since
            .map(|since| since + rhythm(Stream::Critical).seal);
        let critical = self
            .open
            .iter()
            .filter(|open| open.stream == Stream::Critical)
            .filter_map(Open::due)
            .chain(records)
            .min();
        let settle = self.settle_since.map(|since| since + SETTLE_WITHIN);
        let any = self.open.iter().filter_map(Open::due).chain(settle).min();
        let paid = if self.open() >= PRESSING {
            None
        } else {
            self.paid_until
        };
        let any = any.map(|any| paid.map_or(any, |paid| any.max(paid)));
        critical.into_iter().chain(any).min()
    }

    /// Step 3: what to seal and to journal now; or everything.
    pub(super) fn tick(&self, now: Instant, everything: bool) -> Tick {
        let mut tick = Tick::default();
        for open in self.open.iter().filter(|open| !open.samples.is_empty()) {
            if everything || open.to_seal(now) {
                tick.seal.push((open.stream, open.samples.clone()));
            } else if open.to_journal(now) {
                let fresh = open.samples[open.journalled..].to_vec();
                tick.journal.push((open.stream, fresh));
            }
        }
        tick.records.clone_from(&self.records);
        tick.settle.clone_from(&self.settle);
        tick
    }

    /// The tick is durable; it took so many fsyncs.
    pub(super) fn committed(&mut self, tick: &Tick, syncs: u32, now: Instant) {
        self.synced(syncs, now);
        self.records
            .drain(..tick.records.len().min(self.records.len()));
        self.records_since = (!self.records.is_empty()).then_some(now);
        self.settle
            .drain(..tick.settle.len().min(self.settle.len()));
        self.settle_since = (!self.settle.is_empty()).then_some(now);
        for open in &mut self.open {
            let of = |(stream, _): &&(Stream, Vec<Sample>)| *stream == open.stream;
            if tick.seal.iter().any(|part| of(&part)) {
                open.samples.clear();
                // What a rush needed is given back, or each stream would keep the room of its greatest one for ever.
                open.samples.shrink_to(KEPT_ROOM);
                open.journalled = 0;
                open.unjournalled_since = None;
                open.open_since = None;
            } else if tick.journal.iter().any(|part| of(&part)) {
                open.journalled = open.samples.len();
                open.unjournalled_since = None;
            }
        }
    }

    /// Takes out what a commit in doubt was to make durable, but for what the cloud said, which it says again. Nothing has
    /// come since the tick was made.
    pub(super) fn park(&mut self, tick: &Tick) -> Parked {
        let part = |open: &&mut Open| {
            let of = |part: &(Stream, Vec<Sample>)| part.0 == open.stream;
            tick.seal.iter().any(of) || tick.journal.iter().any(of)
        };
        let samples = self.open.iter_mut().filter(part).map(|open| {
            open.journalled = 0;
            open.unjournalled_since = None;
            open.open_since = None;
            (open.stream, std::mem::take(&mut open.samples))
        });
        let samples = samples.collect();
        let records = self
            .records
            .drain(..tick.records.len().min(self.records.len()))
            .collect();
        self.records_since = self.records_since.filter(|_| !self.records.is_empty());
        Parked { samples, records }
    }

    /// What was parked did not reach the disk: it waits again.
    pub(super) fn unpark(&mut self, parked: Parked, now: Instant) {
        for (stream, samples) in parked.samples {
            for sample in samples {
                self.take(stream, sample, now);
            }
        }
        for record in parked.records {
            self.record(record, now);
        }
    }

    /// So many fsyncs have happened.
    pub(super) fn synced(&mut self, syncs: u32, now: Instant) {
        self.paid_until = Some(now + A_SYNC * syncs);
    }

    /// Another store has taken over: what the journal of the old one holds is its to seal.
    pub(super) fn forget_journalled(&mut self) {
        for open in &mut self.open {
            open.samples.drain(..open.journalled);
            open.journalled = 0;
            if open.samples.is_empty() {
                open.open_since = None;
                open.unjournalled_since = None;
            }
        }
        self.settle.clear();
        self.settle_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Moves a clock by hand through `minutes`, and gives each stream's samples at these intervals; says when each commit
    /// happened, how many fsyncs it took, and how long each critical sample waited for it.
    fn run(minutes: u32, every: [Option<Duration>; 3]) -> (Vec<(Duration, u32)>, Vec<Duration>) {
        let start = Instant::now();
        let (mut waiting, mut commits, mut waits) = (Waiting::new(), Vec::new(), Vec::new());
        let mut critical = Vec::new();
        let streams = [Stream::Critical, Stream::Live, Stream::Bulk];
        for ms in 0..minutes * 60_000 {
            let at = MS * ms;
            let now = start + at;
            for (stream, every) in streams.into_iter().zip(every) {
                if every.is_some_and(|every| at.as_millis().is_multiple_of(every.as_millis())) {
                    let sample = Sample {
                        column: 0,
                        time_us: 0,
                        raw: 0,
                    };
                    waiting.take(stream, sample, now);
                    if stream == Stream::Critical {
                        critical.push(at);
                    }
                }
            }
            if waiting.due().is_some_and(|due| due <= now) {
                let tick = waiting.tick(now, false);
                assert!(!tick.is_empty(), "a commit of nothing");
                // As the store does: every so often a checkpoint takes three fsyncs more.
                let syncs = if commits.len() % 150 == 149 { 4 } else { 1 };
                if tick
                    .seal
                    .iter()
                    .any(|(stream, _)| *stream == Stream::Critical)
                {
                    waits.extend(critical.drain(..).map(|since| at.saturating_sub(since)));
                }
                waiting.committed(&tick, syncs, now);
                commits.push((at, syncs));
            }
        }
        (commits, waits)
    }

    /// The most fsyncs in any second.
    fn most_in_a_second(commits: &[(Duration, u32)]) -> u32 {
        let after = |from: Duration| {
            let within = commits
                .iter()
                .filter(move |(at, _)| (from..from + Duration::from_secs(1)).contains(at));
            within.map(|(_, syncs)| syncs).sum()
        };
        commits.iter().map(|(at, _)| after(*at)).max().unwrap_or(0)
    }

    #[test]
    fn quiet_streams_cost_one_fsync_a_second() {
        let (commits, _) = run(30, [None, Some(MS * 100), Some(MS * 1000)]);
        let syncs: u32 = commits.iter().map(|(_, syncs)| syncs).sum();
        assert!(syncs <= 30 * 60 + 1, "{syncs} fsyncs in 1800 s");
        assert!(
            commits.len() > 1600,
            "live data is durable within about a second"
        );
        // Between two commits lies a second for every fsync of the first.
        for pair in commits.windows(2) {
            assert!(pair[1].0 >= pair[0].0 + A_SYNC * pair[0].1, "{pair:?}");
        }
    }

    #[test]
    fn bulk_alone_is_journalled_every_five_seconds() {
        let (commits, _) = run(10, [None, None, Some(MS * 1000)]);
        assert!((95..=121).contains(&commits.len()), "{}", commits.len());
    }

    #[test]
    fn critical_samples_wait_200_ms_and_cost_eight_fsyncs_a_second_at_most() {
        for every in [10, 50, 199, 201, 333, 1000, 7000] {
            let (commits, waits) = run(5, [Some(MS * every), Some(MS * 100), Some(MS * 1000)]);
            let longest = waits.iter().max().unwrap();
            assert!(*longest <= MS * 200, "{longest:?} at one in {every} ms");
            let most = most_in_a_second(&commits);
            assert!(most <= 8, "{most} fsyncs in a second at one in {every} ms");
        }
    }

    #[test]
    fn a_flood_is_not_kept_waiting() {
        let now = Instant::now();
        let mut waiting = Waiting::new();
        waiting.synced(4, now);
        let sample = Sample {
            column: 0,
            time_us: 0,
            raw: 0,
        };
        for _ in 0..SEAL_EARLY {
            waiting.take(Stream::Bulk, sample, now);
        }
        assert_eq!(waiting.due(), Some(now + A_SYNC * 4));
        for _ in SEAL_EARLY..PRESSING {
            waiting.take(Stream::Bulk, sample, now);
        }
        assert_eq!(waiting.due(), Some(now));
    }
}
