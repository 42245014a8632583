//! pg_dump and pg_restore. They are PostgreSQL's own, and cannot read a server that is newer than they are.

use std::path::{Path, PathBuf};

use platform::failure::in_words;
use tokio::process::Command;
use tokio_postgres::{Config, config::Host};

use super::BackupError;

/// Where the tools are.
#[derive(Clone, Debug, Default)]
pub struct Tools(Option<PathBuf>);

impl Tools {
    /// In this folder, or where the shell finds programs.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.0
            .as_ref()
            .map_or_else(|| name.into(), |folder| folder.join(name))
    }

    /// Whether the tools are new enough for a server with this `server_version_num`.
    pub fn fit(&self, server: u32) -> Result<(), BackupError> {
        let program = self.program("pg_dump");
        let unfit = |what: String| BackupError::Unfit(what);
        let output = std::process::Command::new(&program)
            .arg("--version")
            .output();
        let output = output.map_err(|error| {
            unfit(format!(
                "{}: {error}; install PostgreSQL's client programs, or name their folder (--tools)",
                program.display()
            ))
        })?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let major = said
            .split_whitespace()
            .find_map(|word| word.split('.').next()?.parse::<u32>().ok())
            .unwrap_or(0);
        if major >= server / 10_000 {
            return Ok(());
        }
        Err(unfit(format!(
            "pg_dump is of PostgreSQL {major}, and the server is {}: name the folder of newer ones (--tools), such as \
             /usr/lib/postgresql/{}/bin",
            server / 10_000,
            server / 10_000
        )))
    }

    pub(super) async fn dump(
        &self,
        url: &str,
        snapshot: &str,
        to: &Path,
    ) -> Result<(), BackupError> {
        let mut command = Command::new(self.program("pg_dump"));
        command.args([
            "--format=custom",
            "--compress=6",
            "--no-password",
            "--enable-row-security",
        ]);
        command
            .arg(format!("--snapshot={snapshot}"))
            .arg("--file")
            .arg(to);
        run("pg_dump", command, url).await
    }

    pub(super) async fn restore(&self, url: &str, from: &Path) -> Result<(), BackupError> {
        let mut command = Command::new(self.program("pg_restore"));
        command.args(["--exit-on-error", "--no-owner", "--no-password", "--dbname"]);
        command
            .arg(config(url)?.get_dbname().unwrap_or_default())
            .arg(from);
        run("pg_restore", command, url).await
    }
}

fn config(url: &str) -> Result<Config, BackupError> {
    url.parse()
        .map_err(|error| BackupError::Unfit(in_words(&error)))
}

/// Runs a tool on the database behind a URL. The environment names it, for others see arguments.
async fn run(tool: &'static str, mut command: Command, url: &str) -> Result<(), BackupError> {
    let config = config(url)?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config
            .get_hostaddrs()
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let port = config
        .get_ports()
        .first()
        .copied()
        .unwrap_or(5432)
        .to_string();
    command
        .env("PGHOST", host)
        .env("PGPORT", port)
        .env("PGCONNECT_TIMEOUT", "10");
    for (name, value) in [
        ("PGUSER", config.get_user()),
        ("PGDATABASE", config.get_dbname()),
    ] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    if let Some(password) = config.get_password() {
        command.env("PGPASSWORD", String::from_utf8_lossy(password).into_owned());
    }
    // Ended with us: what it was writing is not moved to its place.
    command.kill_on_drop(true);
    let failed = |said: String| BackupError::Tool { tool, said };
    let output = command
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr)
        .trim()
        .chars()
        .take(2000)
        .collect();
    Err(failed(said))
}
