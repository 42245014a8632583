//! Who may do what: users, API keys, signing in.
//!
//! - [`permission`]: what can be permitted, and roles, as data (`data/permissions.toml`)
//! - [`password`]: argon2id, off the threads that answer; [`secret`]: tokens, of which only hashes are kept
//! - [`lockout`]: how many wrong passwords are borne; pure
//! - [`users`]: people; [`keys`]: keys of programs
//! - [`sign_in`]: from a password to a session; [`session`]: its tokens, refreshed and ended
//! - [`oidc`]: signing in at an organisation's own provider
//! - `trail`: what is done to users and keys is audited
//! - [`who`]: from what a request shows to who asks and what they may
//!
//! Whoever guesses learns nothing: an unknown address, a wrong password, a locked account and a disabled user get the
//! same answer after the same work.

pub mod keys;
pub mod lockout;
pub mod oidc;
pub mod password;
pub mod permission;
pub mod secret;
pub mod session;
pub mod sign_in;
mod trail;
pub mod users;
pub mod who;

use std::sync::Arc;

use platform::{Clock, Db, DbError, Room};
use vault::{Column, Ring, VaultError};

pub use keys::{ApiKey, NewKey};
pub use permission::{Permissions, UnknownPermission};
pub use session::{Page, Tokens};
pub use sign_in::{Kind, SignedIn};
pub use users::{NewUser, User};
pub use who::Identity;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `access`.
pub fn room() -> Room {
    Room {
        schema: "access",
        runner: embedded::migrations::runner,
    }
}

/// Where secrets are sealed; for rotations of the key ring, too.
pub const SECRETS: [Column; 2] = [users::CODE, oidc::CLIENT_SECRET];

/// Why it was not done; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Address, password, code or token are not good, or the account is locked: which of them is not told.
    #[error(
        "address, password or code are not right, or there were too many attempts: try again later"
    )]
    Refused,
    /// The password is right, and the user has to give a one-time code with it.
    #[error("a one-time code is needed")]
    CodeNeeded,
    /// A refresh token came a second time: its session was ended.
    #[error(
        "this refresh token was used before: somebody else may have it, so the session was ended; sign in again"
    )]
    Reused,
    /// What was given cannot be.
    #[error("{field} must be {rule}")]
    Bad {
        /// Which of it.
        field: &'static str,
        /// What it must be.
        rule: String,
    },
    /// The address belongs to a user already.
    #[error("there is a user with the address {0} already")]
    Taken(String),
    /// There is no such user, key or organisation.
    #[error("there is no {what} {name}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Its name or number.
        name: String,
    },
    /// There is no key ring to seal it with.
    #[error("secrets of one-time codes are kept sealed only: name a key ring (keys.vault, --ring)")]
    NoRing,
    /// A sealed secret does not open, or cannot be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
    /// The database is out of reach or refuses.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for AccessError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Users, keys and sessions of a database. Cloning it is cheap; clones share the cache.
#[derive(Clone, Debug)]
pub struct Access {
    db: Db,
    clock: Clock,
    passwords: password::Passwords,
    ring: Option<Ring>,
    seen: Arc<who::Seen>,
}

impl Access {
    /// Those of this database.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self {
            db,
            clock,
            passwords: password::Passwords::new(),
            ring: None,
            seen: Arc::default(),
        }
    }

    /// With the keys that seal the secrets of one-time codes: without them, who has to give a code cannot sign in.
    #[must_use]
    pub fn with_ring(mut self, ring: Option<Ring>) -> Self {
        self.ring = ring;
        self
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How many passwords were checked so far, those of nobody included.
    pub fn passwords_checked(&self) -> u64 {
        self.passwords.checked()
    }

    /// Deletes what has no meaning any more; to be called each hour.
    pub async fn tidy(&self) -> Result<(), DbError> {
        let client = self.db.system().await?;
        let sql = include_str!("../queries/tidy.sql");
        client.execute(sql, &[&self.clock.now()]).await?;
        Ok(())
    }
}
