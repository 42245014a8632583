//! Deliveries become rows, exactly once, at any number of deliveries and of ingestors.
//!
//! 1. [`believe`] over [`open`]: frame, header, key, signature, content; what nobody vouches for ends here
//! 2. [`prepare`], with [`define`] for columns: epoch, columns, assets; the content becomes rows
//! 3. [`commit`] over [`plan`] and [`write`]: one transaction locks the ledger rows of the streams in the order of
//!    their keys, leaves out what is closed already, copies the rest ([`wide`]), closes it, and, once for each of the
//!    [`sources`], updates [`latest`] and keeps what changed of [`states`]
//! 4. trouble: a refusal of the data is bisected until the block that is to blame is alone, and that one goes to
//!    [`quarantine`]; a broken connection is waited for, and then nothing is said about any of them
//! 5. [`place`]: blocks that had to wait for the time of their boot; [`readmit`]: what was quarantined, after a fix
//!
//! Definitions of columns are committed before what is delivered beside them, so that both can come at once.

mod batch;
mod believe;
mod block;
mod commit;
mod define;
mod known;
mod latest;
mod open;
mod place;
mod plan;
mod prepare;
mod quarantine;
mod readmit;
mod settle;
mod sources;
mod states;
mod wide;
pub(crate) mod write;

use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use platform::{Clock, Db, Register};
use shared_protocol::{Digest, GatewayId, Stream, topic};

pub(crate) use self::block::RecordRows;
pub use self::readmit::ReadmitError;
use self::{
    believe::Claimed,
    block::{Opened, Settled},
    quarantine::{Budget, Unusable},
};
pub(crate) use self::{
    define::{ExtraKey, number_signals},
    known::{Known, Latest},
    states::IsState,
};
use crate::{
    metrics,
    outcome::{Outcome, OutcomeKind, Reason},
    trouble::{GaveUp, Tries, in_time},
};

/// A message of the broker.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where it arrived. It names a gateway for counting what cannot be believed; a signature is believed over it.
    pub topic: String,
    /// The bytes.
    pub payload: Bytes,
}

/// Stores blocks. Cloning it is cheap; clones share what they remember. Any number of them, in any number of
/// processes, may work on the same database.
#[derive(Clone)]
pub struct Ingestor(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) register: Register,
    known: Known,
    budget: Budget,
}

impl fmt::Debug for Ingestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ingestor({:?})", self.0.db)
    }
}

impl Ingestor {
    /// An ingestor of a database that [`crate::prepare_storage`] has prepared.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            register: Register::new(db.clone(), clock.clone()),
            db,
            clock,
            known: Known::default(),
            budget: Budget::default(),
        }))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Stores deliveries; outcome `i` is that of delivery `i`. Returns after COMMIT, or after giving up: what an
    /// outcome says may be acknowledged.
    pub async fn ingest(&self, deliveries: Vec<Delivery>) -> Vec<Outcome> {
        let start = Instant::now();
        let mut outcomes = self.take(&deliveries, false).await;
        self.keep_unbelieved(&deliveries, &mut outcomes).await;
        for outcome in &outcomes {
            metrics::outcome(outcome);
        }
        metrics::batch(start.elapsed());
        outcomes
    }

    /// Stores what can be stored. `readmitting`: they come out of the quarantine.
    async fn take(&self, deliveries: &[Delivery], readmitting: bool) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(deliveries.len());
        let mut queue: VecDeque<Claimed> = VecDeque::new();
        let mut settled = Vec::new();
        for (at, delivery) in deliveries.iter().enumerate() {
            let payload = delivery.payload.clone();
            let digest = match open::claim(&payload) {
                Ok(claim) => {
                    let digest = claim.digest;
                    let topic = delivery.topic.clone();
                    queue.push_back(Claimed {
                        at,
                        topic,
                        payload,
                        claim,
                    });
                    digest
                }
                Err((reason, detail)) => {
                    let result = OutcomeKind::Rejected { reason, detail };
                    settled.push(Settled::without_ledger(at, result));
                    Digest::of(&payload)
                }
            };
            outcomes.push(Outcome {
                gateway: None,
                number: None,
                digest,
                result: OutcomeKind::NotStored {
                    detail: "its turn has not come".to_owned(),
                },
                done: Arc::default(),
            });
        }
        let mut learnt = false;
        while !queue.is_empty() {
            let opened = self
                .open_some(&mut queue, &mut outcomes, &mut settled, readmitting)
                .await;
            let (columns, rest): (Vec<Opened>, Vec<_>) = opened
                .into_iter()
                .partition(|block| block.header.number.stream == Stream::Columns);
            for blocks in [columns, rest] {
                learnt |= self.settle(&blocks, &mut settled).await;
            }
        }
        for settled in settled {
            let outcome = &mut outcomes[settled.at];
            outcome.result = settled.result;
            outcome.done = settled.done;
        }
        if learnt && let Err(error) = self.place_some().await {
            tracing::warn!(%error, "blocks that waited for the time could not be expanded yet");
        }
        outcomes
    }

    /// Keeps the bytes of what is not believed, within the budget of whoever sends it.
    async fn keep_unbelieved(&self, deliveries: &[Delivery], outcomes: &mut [Outcome]) {
        let now = self.0.clock.monotonic();
        let mut places = Vec::new();
        let mut rows = Vec::new();
        for (at, (delivery, outcome)) in deliveries.iter().zip(outcomes.iter()).enumerate() {
            let (reason, detail) = match &outcome.result {
                OutcomeKind::Rejected { reason, detail } => (*reason, detail),
                OutcomeKind::Refused { detail } => (Reason::Revoked, detail),
                OutcomeKind::Quarantined { reason, .. } => {
                    metrics::quarantined(*reason);
                    continue;
                }
                _ => continue,
            };
            let gateway = topic::gateway(&delivery.topic);
            let sender = gateway.as_ref().map_or("", GatewayId::as_str);
            if !self.0.budget.take(sender, false, now) {
                metrics::skipped(reason);
                continue;
            }
            metrics::quarantined(reason);
            let claim = open::claim(&delivery.payload).ok();
            let claimed = claim.as_ref().map(|claim| claim.header.gateway.to_string());
            places.push(at);
            rows.push(Unusable {
                digest: outcome.digest,
                gateway: gateway.map(String::from).or(claimed),
                number: claim.as_ref().map(|claim| claim.header.number.to_string()),
                closed: false,
                reason,
                detail: detail.clone(),
                topic: delivery.topic.clone(),
                samples: claim.map_or(0, |claim| claim.header.samples),
                payload: delivery.payload.clone(),
            });
        }
        if let Err(GaveUp::Data(detail) | GaveUp::Later(detail)) = self.quarantine(&rows).await {
            for at in places {
                let detail = detail.clone();
                outcomes[at].result = OutcomeKind::NotStored { detail };
            }
        }
    }

    async fn quarantine(&self, rows: &[Unusable]) -> Result<(), GaveUp> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut tries = Tries::new();
        loop {
            let attempt = async {
                let client = self.0.db.system().await?;
                quarantine::write(&client, rows, self.0.clock.now()).await
            };
            match in_time(attempt).await {
                Ok(()) => return Ok(()),
                Err(trouble) => tries.after(trouble).await?,
            }
        }
    }

    /// Whether a gateway may have one more block of its own quarantined.
    fn may_keep(&self, gateway: &str) -> bool {
        let now = self.0.clock.monotonic();
        self.0.budget.take(gateway, true, now)
    }
}
