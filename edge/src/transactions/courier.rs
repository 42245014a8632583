//! From the book to the buffer, oldest first.

use std::time::Duration;

use shared_protocol::Record;

use super::Bookkeeper;
use crate::{buffer::Stopped, sources::Context, supervise::Beat};

/// Records that are carried at a time.
const LOAD: u32 = 200;
/// Records wait so long for others: each load costs the buffer a commit.
const GATHER: Duration = Duration::from_millis(500);
/// When the buffer or the book cannot be written, it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Carries until the gateway stops and the book is empty, or the buffer has stopped.
pub(super) async fn run(keeper: &Bookkeeper, context: Context, beat: Beat) {
    let mut written = keeper.news();
    let mut stop = context.stop.clone();
    loop {
        beat.pass().await;
        match load(keeper, &context, &beat).await {
            Ok(Load::Full) => {}
            Ok(Load::Empty) => {
                let done = *stop.borrow();
                if done {
                    return;
                }
                let wait = async {
                    tokio::select! {
                        _ = written.changed() => tokio::time::sleep(GATHER).await,
                        () = crate::stopped(&mut stop) => {}
                    }
                };
                beat.during(wait).await;
            }
            Ok(Load::Failed) => {
                if *stop.borrow() {
                    return;
                }
                beat.during(tokio::time::sleep(AGAIN)).await;
            }
            Err(Stopped) => return,
        }
    }
}

enum Load {
    /// There may be more.
    Full,
    /// Nothing is left.
    Empty,
    /// Something could not be written.
    Failed,
}

async fn load(keeper: &Bookkeeper, context: &Context, beat: &Beat) -> Result<Load, Stopped> {
    let outgoing = match beat.during(keeper.book(|book| book.outgoing(LOAD))).await {
        Ok(outgoing) => outgoing,
        Err(error) => {
            tracing::error!(%error, "records of stations wait");
            return Ok(Load::Failed);
        }
    };
    let Some(last) = outgoing.last().map(|one| one.number) else {
        return Ok(Load::Empty);
    };
    for one in outgoing {
        let record = Record {
            time_us: context.clock.now_us(),
            asset: one.asset.parse().ok(),
            kind: one.kind,
            payload: one.payload,
        };
        beat.during(context.buffer.record(record)).await?;
    }
    // They are in the buffer's hands now; not once more, but until its disk has them they stay in the book, too.
    let mut state = context.buffer.state();
    loop {
        beat.during(context.buffer.flush()).await?;
        let durable = {
            let state = state.borrow_and_update();
            state.failing.is_none() && !state.volatile
        };
        if durable {
            break;
        }
        if *context.stop.borrow() {
            return Ok(Load::Failed);
        }
        beat.during(tokio::time::sleep(AGAIN)).await;
    }
    match beat.during(keeper.book(move |book| book.gone(last))).await {
        Ok(()) => Ok(Load::Full),
        Err(error) => {
            tracing::error!(%error, "records of stations stay in the book and will go out again");
            Ok(Load::Failed)
        }
    }
}
