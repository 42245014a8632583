//! The loops that look after the others.

use std::{
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::StartError;
use crate::{
    buffer::Buffer,
    clock::Clock,
    commands::Desk,
    control::Control,
    health::{Counters, Measured, Process, Sight},
    supervise::{Beat, Feeder, Keeping, Spec, Supervisor},
    uplink,
};

/// Making room on a slow card takes its time; and a writer that takes the place of one that was only slow loses nothing.
const DATABASE: Duration = Duration::from_secs(20);
/// So long a ledger may not answer, whoever writes it: another writer has had its time to take the place by then.
const LEDGER: Duration = Duration::from_secs(28);
/// A writer that does not answer for so long after that is replaced.
const ANSWER: Duration = Duration::from_secs(1);
/// How often the database's writer is asked whether it is there.
const ASK_DATABASE: Duration = Duration::from_secs(2);
/// Exit status of a process that has to be started again: a fault of the program (sysexits.h, `EX_SOFTWARE`).
const START_AGAIN: i32 = 70;

/// Stands for the thread of the database's writer: asks it again and again whether it is there. When it has to be started
/// again, another writer takes the place of the thread, which nobody can end.
pub(super) fn watch_database(
    supervisor: &Supervisor,
    buffer: &Buffer,
    stop: watch::Receiver<bool>,
) -> impl Keeping + use<> {
    let spec = Spec::new("database", DATABASE).critical();
    let buffer = buffer.clone();
    let mut again = false;
    supervisor.keep(spec, stop, move |beat| {
        let buffer = buffer.clone();
        let again = std::mem::replace(&mut again, true);
        async move {
            let answer = buffer.to_send(0, i64::MAX, false, 0);
            if again
                && tokio::time::timeout(ANSWER, answer).await.is_err()
                && let Err(error) = buffer.replace_writer()
            {
                tracing::error!(%error, "the database's writer cannot be started again alone");
            }
            ask(&buffer, &beat).await;
        }
    })
}

/// Where another writer does not help either, the process ends.
pub(super) fn watch_ledger(
    supervisor: &Supervisor,
    buffer: &Buffer,
    stop: watch::Receiver<bool>,
) -> impl Keeping + use<> {
    let spec = Spec::new("ledger", LEDGER).critical().or_end_process();
    let buffer = buffer.clone();
    supervisor.keep(spec, stop, move |beat| {
        let buffer = buffer.clone();
        async move { ask(&buffer, &beat).await }
    })
}

async fn ask(buffer: &Buffer, beat: &Beat) {
    loop {
        beat.pass().await;
        if buffer.to_send(0, i64::MAX, false, 0).await.is_err() {
            // Its thread is gone, by a panic: nothing can be stored any more, and nothing but the end helps.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(ASK_DATABASE).await;
    }
}

/// Looks after all loops on a thread that none of them can hold up.
pub(super) fn supervise(
    supervisor: &Supervisor,
    mut feeder: Feeder,
) -> Result<thread::JoinHandle<()>, StartError> {
    let failed = |source| StartError::Supervision { source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(failed)?;
    let supervisor = supervisor.clone();
    let look_after = move || match runtime.block_on(supervisor.run(&mut feeder)) {
        Ok(()) => feeder.release(),
        Err(immovable) => {
            tracing::error!(%immovable, "the process ends, to be started again; what was committed is safe");
            #[allow(
                clippy::disallowed_methods,
                reason = "what stands still cannot be closed in order; the buffer survives it as it survives a power cut"
            )]
            std::process::exit(START_AGAIN);
        }
    };
    thread::Builder::new()
        .name("supervisor".into())
        .spawn(look_after)
        .map_err(failed)
}

/// What metrics are told from.
pub(super) struct Sighted {
    pub(super) began: Instant,
    pub(super) folder: PathBuf,
    pub(super) buffer: Buffer,
    pub(super) uplink: watch::Receiver<uplink::Report>,
    pub(super) desk: Arc<Desk>,
    pub(super) clock: Arc<Clock>,
    pub(super) supervisor: Supervisor,
    pub(super) counters: Arc<Counters>,
    pub(super) control: Option<Arc<Control>>,
}

pub(super) fn teller(of: Sighted) -> Arc<dyn Fn() -> Vec<Measured> + Send + Sync> {
    Arc::new(move || {
        let control = of.control.as_deref();
        let sight = Sight {
            up_s: of.began.elapsed().as_secs(),
            process: Process::now(&of.folder),
            buffer: &of.buffer.state().borrow().clone(),
            uplink: &of.uplink.borrow().clone(),
            commands: &of.desk.counts,
            clock: of.clock.standing(),
            loops: of.supervisor.reports(),
            counters: &of.counters,
            control: control.map(|control| (control.shown(), control.counts())),
        };
        sight.tell()
    })
}
