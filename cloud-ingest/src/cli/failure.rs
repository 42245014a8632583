//! What is said when it does not work, and the exit status.

use std::{fmt, io, net::SocketAddr, process::ExitCode};

use config_file::Faults;
use platform::{DbError, MigrateError, RegisterError};

/// Why a command failed: a message for people, and whether it is theirs to put right.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// What was asked for cannot be done as it was asked; nothing was started or changed. Status 2.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self {
            status: 2,
            message: message.into(),
        }
    }

    /// It was right to ask, but it failed. Status 1.
    pub fn run(message: impl Into<String>) -> Self {
        Self {
            status: 1,
            message: message.into(),
        }
    }

    /// The address of a key cannot be listened on.
    pub fn occupied(key: &str, listen: SocketAddr, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there: stop it, or choose another port"
            }
            io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            io::ErrorKind::PermissionDenied => {
                "this user may not listen there: choose a port above 1023"
            }
            _ => "choose another address",
        };
        Self::bad_input(format!("{key}: cannot listen on {listen}: {advice}"))
    }

    /// The exit status.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Each fault stands on a line of its own, with file, line and key.
impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::bad_input(faults.to_string())
    }
}

/// What only a change of URL, rights or server can heal is bad input.
impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        let says = |states: &[&str]| match &error {
            DbError::Query(cause) => cause
                .code()
                .is_some_and(|state| states.contains(&state.code())),
            _ => false,
        };
        if says(&["42P01", "3F000", "42703"]) {
            return Self::bad_input(format!(
                "the tables are not there, or older than this program: run `cloud-ingest database migrate` ({error})"
            ));
        }
        if says(&["42501"]) {
            return Self::bad_input(format!(
                "the database does not permit it: {error}; give this user the right to create schemas (GRANT CREATE ON \
                 DATABASE …), or name its owner"
            ));
        }
        match &error {
            DbError::Url { .. }
            | DbError::Denied { .. }
            | DbError::NoDatabase { .. }
            | DbError::NotMigrated { .. }
            | DbError::TooOld { .. } => Self::bad_input(error.to_string()),
            DbError::Unreachable { .. } | DbError::Busy | DbError::Late(_) | DbError::Query(_) => {
                Self::run(error.to_string())
            }
        }
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Db(error) => error.into(),
            MigrateError::Newer { .. }
            | MigrateError::Edited { .. }
            | MigrateError::Standby
            | MigrateError::Roles(_) => Self::bad_input(error.to_string()),
            MigrateError::Failed { .. } | MigrateError::Locked => Self::run(error.to_string()),
        }
    }
}

impl From<devices::RegisterError> for Failure {
    fn from(error: devices::RegisterError) -> Self {
        match error {
            devices::RegisterError::Db(error) => error.into(),
            other => Self::bad_input(other.to_string()),
        }
    }
}

impl From<geotab::AccountError> for Failure {
    fn from(error: geotab::AccountError) -> Self {
        match error {
            geotab::AccountError::Db(error) => error.into(),
            other => Self::bad_input(other.to_string()),
        }
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Db(error) => error.into(),
            RegisterError::Taken(_)
            | RegisterError::NoGateway(_)
            | RegisterError::NoKey { .. }
            | RegisterError::TooManyAssets(_) => Self::bad_input(error.to_string()),
        }
    }
}
