//! The programs of PostgreSQL: of the server's version or a newer one, and told where the database is by their environment,
//! for arguments are for everybody on the machine to read.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tokio_postgres::{Config, config::Host};

use super::BackupError;

/// Where the programs are, and which database they are for.
#[derive(Debug)]
pub struct Tools {
    folder: Option<PathBuf>,
    place: Vec<(&'static str, String)>,
}

impl Tools {
    /// Those of this folder, or of the search path, for this database.
    pub fn new(url: &str, folder: Option<PathBuf>) -> Result<Self, BackupError> {
        // The URL was used before to connect.
        let config: Config = url
            .parse()
            .map_err(|_| BackupError::Refused("the database URL cannot be used".to_owned()))?;
        let mut place = Vec::new();
        match config.get_hosts().first() {
            Some(Host::Tcp(host)) => place.push(("PGHOST", host.clone())),
            Some(Host::Unix(path)) => place.push(("PGHOST", path.display().to_string())),
            None => {}
        }
        if let Some(address) = config.get_hostaddrs().first() {
            place.push(("PGHOSTADDR", address.to_string()));
        }
        let port = config.get_ports().first().copied().unwrap_or(5432);
        place.push(("PGPORT", port.to_string()));
        if let Some(user) = config.get_user() {
            place.push(("PGUSER", user.to_owned()));
            let database = config.get_dbname().unwrap_or(user);
            place.push(("PGDATABASE", database.to_owned()));
        }
        if let Some(password) = config.get_password() {
            let password = String::from_utf8_lossy(password).into_owned();
            place.push(("PGPASSWORD", password));
        }
        Ok(Self { folder, place })
    }

    /// The database's name, which `pg_restore` wants to hear.
    fn database(&self) -> &str {
        let name = self.place.iter().find(|(key, _)| *key == "PGDATABASE");
        name.map_or("", |(_, name)| name)
    }

    fn command(&self, name: &str) -> Command {
        let program = self
            .folder
            .as_deref()
            .map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
        let mut command = Command::new(program);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("PG") {
                command.env_remove(key);
            }
        }
        command.envs(self.place.iter().map(|(key, value)| (key, value)));
        command.env("LC_ALL", "C");
        command
    }

    /// Looks whether a program is there and new enough for a server of this version (`server_version_num`).
    fn fit(&self, name: &str, server: u32) -> Result<(), BackupError> {
        let advice = |what: String| {
            BackupError::Refused(format!(
                "{what}: install PostgreSQL {}'s client programs, or name their folder with --programs",
                server / 10_000
            ))
        };
        let output = self.command(name).arg("--version").output();
        let output =
            output.map_err(|error| advice(format!("{name} cannot be started ({error})")))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let major = said.split_whitespace().find_map(|word| {
            let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u32>().ok()
        });
        match major {
            Some(major) if major >= server / 10_000 => Ok(()),
            _ => Err(advice(format!(
                "{name} says `{}`, and the server is of version {}",
                said.trim(),
                server / 10_000
            ))),
        }
    }

    fn run(command: &mut Command) -> Result<String, BackupError> {
        let output = tokio::task::block_in_place(|| command.output());
        let program = command.get_program().to_string_lossy().into_owned();
        let output = output.map_err(|error| BackupError::Failed(format!("{program}: {error}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(BackupError::Failed(format!(
            "{program} ended with {}:\n{}",
            output.status,
            last.join("\n")
        )))
    }

    /// Writes the snapshot of this name to a file.
    pub(super) fn dump(&self, server: u32, snapshot: &str, to: &Path) -> Result<(), BackupError> {
        self.fit("pg_dump", server)?;
        let mut command = self.command("pg_dump");
        command
            .args(["--format=custom", "--no-password"])
            .arg(format!("--snapshot={snapshot}"))
            .arg("--file")
            .arg(to);
        Self::run(&mut command).map(drop)
    }

    /// What a dump holds, a line for each thing.
    pub(super) fn list(&self, server: u32, dump: &Path) -> Result<String, BackupError> {
        self.fit("pg_restore", server)?;
        Self::run(self.command("pg_restore").arg("--list").arg(dump))
            .map_err(|error| BackupError::Damaged(error.to_string()))
    }

    /// Restores what the list names.
    pub(super) fn restore(&self, dump: &Path, list: &Path) -> Result<(), BackupError> {
        let mut command = self.command("pg_restore");
        command
            .args(["--exit-on-error", "--no-owner", "--no-password"])
            .arg("--use-list")
            .arg(list)
            .arg(format!("--dbname={}", self.database()))
            .arg(dump);
        Self::run(&mut command).map(drop)
    }
}
