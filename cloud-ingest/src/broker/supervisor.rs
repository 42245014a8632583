//! Looks after the embedded broker: starts the child, asks it every few seconds, and replaces it when it is gone or
//! does not answer.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Endpoint, Pace, door, probe::probe};
use crate::{metrics, status::Status};

/// How often the child is asked.
const INTERVAL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(2);
/// So many questions without an answer, and it is replaced.
const FAILURES: u32 = 2;
/// How long a child may take until it answers for the first time.
const START: Duration = Duration::from_secs(15);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// After so long the next failure is a new one.
const STABLE: Duration = Duration::from_mins(1);

/// How the child is started.
#[derive(Clone, Debug)]
pub struct Supervisor {
    /// This program.
    pub program: PathBuf,
    /// Where the broker listens; the port is a real one, and stays the same from child to child.
    pub listen: SocketAddr,
    /// Where the ingestor finds it; it stays the same, too.
    pub inner: SocketAddr,
    /// How fast a client may publish.
    pub pace: Pace,
    /// The child's log level.
    pub log_level: String,
    /// The child's log format.
    pub log_format: String,
    /// What health reads.
    pub status: Arc<Status>,
}

/// A child and its lifeline: the pipe that closes when this process ends, however it ends, and the child with it.
/// `Child` itself would close it before it waits.
struct Broker {
    child: Child,
    _lifeline: Option<ChildStdin>,
}

/// A broker that is being looked after.
pub struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Supervisor {
    /// Starts the first child and waits until it answers.
    pub async fn start(self) -> io::Result<Running> {
        let mut broker = self.spawn()?;
        self.answers(&mut broker.child).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.look_after(broker, stop.clone()));
        Ok(Running { stop, task })
    }

    async fn look_after(self, mut broker: Broker, stop: CancellationToken) {
        let mut wait = FIRST_WAIT;
        loop {
            let begun = Instant::now();
            let reason = tokio::select! {
                () = stop.cancelled() => break,
                reason = self.watch(&mut broker.child) => reason,
            };
            kill(&mut broker.child).await;
            self.status.broker(Err(format!(
                "the embedded broker is being started again: {reason}"
            )));
            if begun.elapsed() > STABLE {
                wait = FIRST_WAIT;
            }
            tracing::error!(reason, "the embedded broker is started again");
            metrics::broker_restarted();
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(wait.mul_f64(rand::random_range(0.5..=1.0))) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            match self.spawn() {
                Ok(started) => broker = started,
                // The old child is dead, so the next look finds it so, and it is tried again.
                Err(error) => tracing::error!(%error, "the embedded broker cannot be started"),
            }
        }
        kill(&mut broker.child).await;
    }

    /// Returns why this child has to be replaced.
    async fn watch(&self, child: &mut Child) -> String {
        if let Err(error) = self.answers(child).await {
            return error.to_string();
        }
        self.status.broker(Ok(()));
        let mut failures = 0;
        loop {
            tokio::select! {
                ended = child.wait() => return describe(ended),
                () = sleep(INTERVAL) => {}
            }
            match self.probe().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "the embedded broker does not answer");
                    if failures >= FAILURES {
                        return error.to_string();
                    }
                }
            }
        }
    }

    /// Waits until a new child answers.
    async fn answers(&self, child: &mut Child) -> io::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            match self.probe().await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {}
            }
            tokio::select! {
                ended = child.wait() => return Err(io::Error::other(describe(ended))),
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    async fn probe(&self) -> io::Result<()> {
        let local = Endpoint::local(self.listen).address.to_string();
        let address = local.parse().map_err(io::Error::other)?;
        probe(address, PATIENCE).await
    }

    fn spawn(&self) -> io::Result<Broker> {
        let mut child = Command::new(&self.program)
            .arg("broker")
            .args(["--listen", &self.listen.to_string()])
            .args(["--inner", &self.inner.to_string()])
            .args(["--client-bytes", &self.pace.bytes.to_string()])
            .args(["--client-messages", &self.pace.messages.to_string()])
            .args(["--log-level", &self.log_level])
            .args(["--log-format", &self.log_format])
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal is for us; the child ends after we have said good-bye to it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        tokio::spawn(listen(child.stdout.take()));
        Ok(Broker {
            _lifeline: child.stdin.take(),
            child,
        })
    }
}

impl Running {
    /// Stops the child.
    pub async fn stop(self) {
        self.stop.cancel();
        // It has nothing to do but kill the child.
        let _ = self.task.await;
    }
}

/// Counts what a child says, until it ends.
async fn listen(out: Option<ChildStdout>) {
    let Some(out) = out else { return };
    let mut lines = BufReader::new(out).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.split(' ').next() == Some(door::SLOWED) {
            metrics::slowed();
        }
    }
}

/// rumqttd keeps nothing that could be saved by being gentle.
async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "the embedded broker was gone already");
    }
}

fn describe(ended: io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => format!("it ended with {status}"),
        Err(error) => format!("it cannot be waited for: {error}"),
    }
}
