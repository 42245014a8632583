//! Out of the quarantine again, the way of any other delivery: after a key was registered, a catalogue or a decoder was
//! put right. A number that was closed by the quarantine is given to the block's rows in their transaction, so that
//! readmitting twice changes nothing.

use std::sync::Arc;

use bytes::Bytes;
use shared_protocol::Digest;

use super::{Delivery, Ingestor};
use crate::{
    outcome::{Outcome, OutcomeKind},
    trouble::{GaveUp, Tries, Trouble, in_time},
};

/// Why something is not readmitted; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReadmitError {
    /// There is no such row.
    #[error("nothing in the quarantine has the number {0}")]
    Unknown(i64),
    /// It was longer than any message may be.
    #[error("number {id} was {size} bytes long, and only the first {kept} were kept")]
    CutOff {
        /// Its number.
        id: i64,
        /// Its length.
        size: i32,
        /// What there is of it.
        kept: usize,
    },
    /// The database is out of reach; try again later.
    #[error("the database is in trouble: {0}")]
    Later(String),
}

impl From<GaveUp> for ReadmitError {
    fn from(why: GaveUp) -> Self {
        let (GaveUp::Data(detail) | GaveUp::Later(detail)) = why;
        Self::Later(detail)
    }
}

impl Ingestor {
    /// Deals with a quarantined payload as if it had just arrived. What still cannot be used stays, with its new reason.
    pub async fn readmit(&self, id: i64) -> Result<Outcome, ReadmitError> {
        let mut tries = Tries::new();
        let row = loop {
            let attempt = async {
                let client = self.0.db.system().await?;
                let sql = include_str!("../../queries/quarantine_payload.sql");
                Ok::<_, Trouble>(client.query_opt(sql, &[&id]).await?)
            };
            match in_time(attempt).await {
                Ok(row) => break row.ok_or(ReadmitError::Unknown(id))?,
                Err(trouble) => tries.after(trouble).await?,
            }
        };
        let payload = Bytes::copy_from_slice(row.get("payload"));
        let size: i32 = row.get("size");
        if i64::from(size) != payload.len() as i64 {
            let kept = payload.len();
            return Err(ReadmitError::CutOff { id, size, kept });
        }
        let digest = Digest::of(&payload);
        let delivery = Delivery {
            topic: row.get("topic"),
            payload,
        };
        let mut outcomes = self.take(&[delivery], true).await;
        let outcome = outcomes.pop().unwrap_or_else(|| Outcome {
            gateway: None,
            number: None,
            digest,
            result: OutcomeKind::NotStored {
                detail: "it was not dealt with".to_owned(),
            },
            done: Arc::default(),
        });
        if matches!(
            outcome.result,
            OutcomeKind::Stored { .. } | OutcomeKind::Superseded { .. }
        ) {
            let mut tries = Tries::new();
            loop {
                let attempt = async {
                    let client = self.0.db.system().await?;
                    let sql = include_str!("../../queries/readmitted.sql");
                    client.execute(sql, &[&id, &self.0.clock.now()]).await?;
                    Ok::<_, Trouble>(())
                };
                match in_time(attempt).await {
                    Ok(()) => break,
                    Err(trouble) => tries.after(trouble).await?,
                }
            }
        }
        Ok(outcome)
    }
}
