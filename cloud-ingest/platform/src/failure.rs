//! What an error of PostgreSQL means for whoever has to go on, by SQLSTATE (PostgreSQL manual, appendix A).

use tokio_postgres::{Error, error::SqlState};

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The data was refused and always will be: find the piece that is to blame, and set it aside.
    Data,
    /// Another transaction was in the way: do the same again, at once.
    Conflict,
    /// The server or the way to it is in trouble: do the same again, later, on a new connection. Whether a COMMIT
    /// that was under way has happened is not known.
    Connection,
    /// A fault of this program or of the server's configuration (a missing table, no permission): nothing that was
    /// sent is to blame, and people have to look.
    Other,
}

impl Failure {
    /// The meaning of an error.
    pub fn of(error: &Error) -> Self {
        match error.code() {
            Some(state) => Self::of_state(state),
            // Without a code the server did not say it: the connection broke, or a parameter could not be written
            // (which `source` tells apart by not being I/O; that is this program's fault).
            None if error.is_closed() || source_is_io(error) => Self::Connection,
            None => Self::Other,
        }
    }

    /// The meaning of a SQLSTATE.
    pub fn of_state(state: &SqlState) -> Self {
        match state.code() {
            // lock_not_available: lock_timeout.
            "55P03" => return Self::Conflict,
            // read_only_sql_transaction: the server has become a standby, the next connection finds the new primary;
            // and idle transactions that were ended.
            "25006" | "25P03" | "25P04" => return Self::Connection,
            _ => {}
        }
        match &state.code()[..2] {
            // cardinality, data exception, integrity constraint, program limit exceeded
            "21" | "22" | "23" | "54" => Self::Data,
            // transaction rollback: serialization failure, deadlock
            "40" => Self::Conflict,
            // connection, insufficient resources, operator intervention (time limits too), system error, internal error
            "08" | "53" | "57" | "58" | "XX" => Self::Connection,
            _ => Self::Other,
        }
    }
}

fn source_is_io(error: &Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if source.is::<std::io::Error>() {
            return true;
        }
        next = source.source();
    }
    false
}

/// An error in one line: the server's own words and the SQLSTATE, or what broke. Errors of constraints come without their
/// detail, which is the row: lines such as this one stand in logs.
pub fn in_words(error: &Error) -> String {
    use std::error::Error as _;
    match error.as_db_error() {
        Some(db) => {
            let told = db.detail().filter(|_| !db.code().code().starts_with("23"));
            let detail = told.map_or_else(String::new, |d| format!(" ({d})"));
            format!("{}{detail} [{}]", db.message(), db.code().code())
        }
        None => error
            .source()
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (code, meaning) in [
            ("22003", Failure::Data),
            ("22P05", Failure::Data),
            ("23514", Failure::Data),
            ("54000", Failure::Data),
            ("40001", Failure::Conflict),
            ("40P01", Failure::Conflict),
            ("55P03", Failure::Conflict),
            ("08006", Failure::Connection),
            ("53100", Failure::Connection),
            ("57P01", Failure::Connection),
            ("57014", Failure::Connection),
            ("58030", Failure::Connection),
            ("25006", Failure::Connection),
            ("25P03", Failure::Connection),
            ("42P01", Failure::Other),
            ("42501", Failure::Other),
            ("25001", Failure::Other),
        ] {
            assert_eq!(
                Failure::of_state(&SqlState::from_code(code)),
                meaning,
                "{code}"
            );
        }
    }
}
