//! A block on its way through the ingestor.

use std::sync::Arc;

use bytes::Bytes;
use shared_protocol::{BlockHeader, Body, Digest, Record};

use crate::{
    columns::{ColumnPlan, EpochColumns},
    decode::Rows,
    outcome::{OutcomeKind, Reason},
};

/// A believed block, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Its place among the deliveries (or among what is being expanded).
    pub(crate) at: usize,
    pub(crate) header: BlockHeader,
    pub(crate) digest: Digest,
    pub(crate) gateway_id: i32,
    pub(crate) key: i32,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) content: Result<Body, (Reason, String)>,
    /// It is in `telemetry.unplaced`, and its number closed: only its rows are missing.
    pub(crate) placing: bool,
    /// It comes out of the quarantine, which may have closed its number.
    pub(crate) readmitting: bool,
}

/// A block whose rows are ready.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) block: &'a Opened,
    pub(crate) epoch_id: i64,
    pub(crate) work: Work<'a>,
}

/// The key of a block in the database.
pub(crate) type BlockKey = (i64, i16, i64);

impl Prepared<'_> {
    pub(crate) fn key(&self) -> BlockKey {
        let (epoch_id, stream) = self.stream();
        (epoch_id, stream, self.block.header.number.seq.cast_signed())
    }

    pub(crate) fn stream(&self) -> (i64, i16) {
        let stream = self.block.header.number.stream.number();
        (self.epoch_id, stream.into())
    }

    pub(crate) fn is_gap(&self) -> bool {
        matches!(self.work, Work::Gap(_))
    }

    /// The last number that it closes.
    pub(crate) fn last(&self) -> u64 {
        match self.block.content {
            Ok(Body::Gaps { last, .. }) if self.is_gap() => last,
            _ => self.block.header.number.seq,
        }
    }
}

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Work<'a> {
    /// Definitions from this number on.
    Columns(u32, Vec<ColumnPlan>),
    /// Samples.
    Samples(Rows),
    /// Records with their wall times and assets.
    Records(RecordRows<'a>),
    /// Samples or records whose wall time is not known.
    Timeless(Timeless<'a>),
    /// Nothing, for this reason.
    Gap(&'static str),
    /// It cannot be used.
    Quarantine(Reason, String),
}

/// Records, ready to be written.
#[derive(Debug)]
pub(crate) struct RecordRows<'a> {
    pub(crate) records: &'a [Record],
    pub(crate) times_us: Vec<i64>,
    pub(crate) assets: Arc<[Option<i32>]>,
}

/// Checked content without wall time.
#[derive(Debug)]
pub(crate) enum Timeless<'a> {
    Samples(&'a shared_protocol::SampleBody, Arc<EpochColumns>),
    Records(&'a [Record], Arc<[Option<i32>]>),
}

/// Closed numbers of a stream.
pub(crate) type Done = Arc<[(u64, u64)]>;

/// How a delivery ended.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) at: usize,
    pub(crate) result: OutcomeKind,
    /// The closed numbers of its stream, when they were looked at.
    pub(crate) done: Done,
}

impl Settled {
    pub(crate) fn without_ledger(at: usize, result: OutcomeKind) -> Self {
        Self {
            at,
            result,
            done: Arc::default(),
        }
    }
}
