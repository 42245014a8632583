//! One program that runs: its log, its lines on standard output, its end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
};

/// A program of this workspace that runs. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    log: PathBuf,
}

/// Where the programs of this workspace are: beside the one that runs, or, for a test, one folder up.
pub fn program(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("the path of this program")?;
    let folders = here.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("the program `{name}` is not built: cargo build --workspace"))
}

impl Process {
    /// Starts a program with standard error appended to `<folder>/<name>.log`.
    pub fn start(name: &str, program: &Path, arguments: &[&str], folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| log.display().to_string())?;
        let mut child = command(program, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            // Ctrl-C on the terminal is for us alone: we stop them in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("standard output is piped")?;
        let (line, lines) = mpsc::channel(1024);
        tokio::spawn(async move {
            let mut read = BufReader::new(stdout).lines();
            while let Ok(Some(text)) = read.next_line().await {
                // Nobody reading is no reason to let the program wait for its output.
                let _ = line.try_send(text);
            }
        });
        Ok(Self {
            name: name.to_owned(),
            child,
            stdin,
            lines,
            log,
        })
    }

    /// The next line on its standard output; `None` when it has ended.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Waits for a line that begins with `prefix` and returns the rest of it. Errors show the end of the log.
    pub async fn ready(&mut self, prefix: &str, within: Duration) -> Result<String> {
        let wanted = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(rest) = line.strip_prefix(prefix) {
                    return Some(rest.trim().to_owned());
                }
            }
            None
        };
        match tokio::time::timeout(within, wanted).await {
            Ok(Some(rest)) => Ok(rest),
            Ok(None) => bail!(
                "{} ended before it was ready:\n{}",
                self.name,
                self.log_end()
            ),
            Err(_) => bail!(
                "{} was not ready within {} s:\n{}",
                self.name,
                within.as_secs(),
                self.log_end()
            ),
        }
    }

    /// Writes a line to its standard input.
    pub async fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .context("its standard input is closed")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(stdin.flush().await?)
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process number, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// kill -9: no word of farewell, nothing flushed.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM, and waits for its end; errors when it does not end in time or not well.
    pub async fn stop(&mut self, within: Duration) -> Result<()> {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
        {
            kill_process(pid, Signal::TERM)?;
        }
        self.ended(within).await
    }

    /// Waits for its end; errors when it does not end in time or not well.
    pub async fn ended(&mut self, within: Duration) -> Result<()> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("{} ended with {status}:\n{}", self.name, self.log_end()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                self.child.kill().await?;
                bail!(
                    "{} did not stop within {} s:\n{}",
                    self.name,
                    within.as_secs(),
                    self.log_end()
                )
            }
        }
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let end = &lines[lines.len().saturating_sub(20)..];
        format!("{} (the end of {})", end.join("\n"), self.log.display())
    }
}

/// A program that is told everything by its arguments and configuration: a database that our own environment names must
/// not take the place of the one that its file names.
fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("PATIO_DATABASE_URL");
    command
}

/// Runs a program to its end and returns its standard output; errors carry its standard error.
pub async fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = command(program, arguments)
        .stdin(Stdio::null())
        .output()
        .await?;
    if !output.status.success() {
        bail!(
            "{} {}: {}",
            program.display(),
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
