//! Blocks that came without wall time are expanded when their boot has learnt it. Each is taken out of
//! `telemetry.unplaced` in the transaction that writes its rows.

use bytes::Bytes;
use shared_protocol::block::SealedBlock;
use tokio_postgres::Row;

use super::{
    Ingestor,
    block::{Opened, Settled},
};
use crate::{
    metrics,
    outcome::{OutcomeKind, Reason},
    storage::StorageError,
    trouble::{GaveUp, Tries, Trouble, in_time},
};

impl Ingestor {
    /// Expands all blocks whose boot has learnt the time since they came, and returns how many. Ingestors begin with it
    /// by themselves when a boot learns the time; call it each minute for long backlogs and what was interrupted.
    pub async fn place(&self) -> Result<u64, StorageError> {
        let mut placed = 0;
        loop {
            let some = self.place_some().await?;
            if some == 0 {
                return Ok(placed);
            }
            placed += some;
        }
    }

    /// Expands the oldest of them, as many as one transaction should have.
    pub(crate) async fn place_some(&self) -> Result<u64, StorageError> {
        let blocks = self.placeable().await.map_err(given_up)?;
        let mut settled: Vec<Settled> = Vec::new();
        self.settle(&blocks, &mut settled).await;
        let mut placed = 0;
        let mut trouble = None;
        for one in settled {
            match one.result {
                OutcomeKind::Stored { .. } | OutcomeKind::Quarantined { .. } => placed += 1,
                OutcomeKind::NotStored { detail } => trouble = Some(detail),
                other => trouble = Some(format!("a kept block cannot be expanded: {other:?}")),
            }
        }
        metrics::placed(placed);
        match trouble {
            Some(detail) => Err(StorageError::Later { detail }),
            None => Ok(placed),
        }
    }

    async fn placeable(&self) -> Result<Vec<Opened>, GaveUp> {
        let mut tries = Tries::new();
        let rows = loop {
            let attempt = async {
                let client = self.0.db.system().await?;
                let sql = include_str!("../../queries/placeable.sql");
                Ok::<_, Trouble>(client.query(sql, &[]).await?)
            };
            match in_time(attempt).await {
                Ok(rows) => break rows,
                Err(trouble) => tries.after(trouble).await?,
            }
        };
        Ok(rows.iter().enumerate().filter_map(opened).collect())
    }
}

/// A kept block, opened with the offset that its boot has learnt. It was verified when it came.
fn opened((at, row): (usize, &Row)) -> Option<Opened> {
    let payload = Bytes::copy_from_slice(row.get("payload"));
    let sealed = SealedBlock::open(&payload).ok()?;
    let mut header = sealed.header.clone();
    header.wall_offset_us = row.get("wall_offset_us");
    let content = sealed
        .content()
        .map_err(|error| (Reason::Unreadable, error.to_string()));
    Some(Opened {
        at,
        digest: sealed.digest,
        header,
        gateway_id: row.get("gateway_id"),
        key: row.get("key_id"),
        topic: String::new(),
        content,
        placing: true,
        readmitting: false,
        payload: payload.clone(),
    })
}

fn given_up(why: GaveUp) -> StorageError {
    let (GaveUp::Data(detail) | GaveUp::Later(detail)) = why;
    StorageError::Later { detail }
}
