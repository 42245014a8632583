//! Signs of life, and what the dead leave behind.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use platform::{Clock, Db, DbError};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use super::open::Open;
use crate::{enqueue::JobId, job::Retry, metrics};

/// How long a job waits whose worker died: it may have been the job that killed it.
const AFTER_DEATH: Retry = Retry::Doubling {
    first: Duration::from_millis(200),
    longest: Duration::from_hours(1),
};

pub(super) async fn sign_on(
    db: &Db,
    id: Uuid,
    now: Timestamp,
    lease: Duration,
) -> Result<(), DbError> {
    let until = later(now, lease);
    db.system()
        .await?
        .execute(
            include_str!("../../queries/sign_on.sql"),
            &[&id, &now, &until],
        )
        .await?;
    Ok(())
}

/// Gives back what the worker still has, and takes its name off the list.
pub(super) async fn sign_off(db: &Db, id: Uuid, back: &[JobId]) -> Result<(), DbError> {
    let tx = Open::begin(db, None).await?;
    tx.execute(include_str!("../../queries/release.sql"), &[&id, &back])
        .await?;
    tx.execute(include_str!("../../queries/sign_off.sql"), &[&id])
        .await?;
    if !back.is_empty() {
        crate::enqueue::notify(&tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Says every third of the lease that the worker lives, and takes back what dead ones left. `lost` is cancelled when the
/// lease has ended without a sign, or others have taken the worker for dead.
pub(super) fn keep_alive(
    db: Db,
    clock: Clock,
    id: Uuid,
    lease: Duration,
    lost: CancellationToken,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut heard = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(lease / 3).await;
            let begun = tokio::time::Instant::now();
            let left = lease.saturating_sub(heard.elapsed());
            match tokio::time::timeout(left, sign(&db, id, clock.now(), lease)).await {
                Ok(Ok(true)) => heard = begun,
                Ok(Ok(false)) | Err(_) => break,
                Ok(Err(error)) => tracing::warn!(%error, "no sign of life could be given"),
            }
            if heard.elapsed() >= lease {
                break;
            }
            if let Err(error) = take_back(&db, clock.now()).await {
                tracing::warn!(%error, "what dead workers left stays where it is");
            }
            if let Err(error) = measure(&db, clock.now()).await {
                tracing::debug!(%error, "the depth of the queue is not known");
            }
        }
        lost.cancel();
    }))
}

/// Says whether the name is still on the list.
async fn sign(db: &Db, id: Uuid, now: Timestamp, lease: Duration) -> Result<bool, DbError> {
    let until = later(now, lease);
    let client = db.system().await?;
    let statement = client
        .prepare_cached(include_str!("../../queries/alive.sql"))
        .await?;
    Ok(client.execute(&statement, &[&id, &until]).await? == 1)
}

/// Jobs of dead workers wait again, or are given up when that was their last attempt.
async fn take_back(db: &Db, now: Timestamp) -> Result<(), DbError> {
    let tx = Open::begin(db, None).await?;
    tx.execute(
        include_str!("../../queries/forget_dead_workers.sql"),
        &[&now],
    )
    .await?;
    let rows = tx
        .query(include_str!("../../queries/orphans.sql"), &[])
        .await?;
    for row in &rows {
        let id: JobId = row.get("id");
        let worker: Uuid = row.get("worker");
        let (attempt, most): (i32, i32) = (row.get("attempt"), row.get("max_attempts"));
        let kind: &str = row.get("kind");
        tracing::warn!(job = id, kind, attempt, "its worker died");
        metrics::orphaned(kind);
        let reason = "its worker died";
        if attempt >= most {
            tx.execute(
                include_str!("../../queries/bury.sql"),
                &[&id, &worker, &attempt, &now, &reason],
            )
            .await?;
            metrics::buried(kind);
        } else {
            let wait = AFTER_DEATH.wait(attempt.unsigned_abs(), rand::random());
            tx.execute(
                include_str!("../../queries/put_back.sql"),
                &[&id, &worker, &attempt, &later(now, wait), &reason],
            )
            .await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn measure(db: &Db, now: Timestamp) -> Result<(), DbError> {
    let client = db.system().await?;
    let statement = client
        .prepare_cached(include_str!("../../queries/depth.sql"))
        .await?;
    let row = client.query_one(&statement, &[&now]).await?;
    metrics::depth(row.get("waiting"), row.get("running"), row.get("dead"));
    Ok(())
}

pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}
