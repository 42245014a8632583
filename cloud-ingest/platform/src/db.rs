//! The pool of connections to PostgreSQL, with errors that say what to do.
//!
//! Pooled connections act as the role [`SYSTEM`], which owns nothing and bypasses nothing, whatever login the URL
//! names: the role is part of how they are opened, so that not even `RESET ALL` brings the login back.
//! [`Db::tenant`] acts as [`APP`](crate::roles::APP) for one organisation until its transaction ends. Only
//! [`Db::owner`] is the login itself, which owns the tables: migrations and storage.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{
    ClientWrapper, Hook, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio_postgres::{
    Config, NoTls, Socket,
    config::{Host, SslMode},
    error::SqlState,
    tls::NoTlsStream,
};

use crate::{
    failure::in_words,
    roles::SYSTEM,
    scope::Scope,
    server::{OLDEST, Server},
    tenant::Tenant,
};

/// A connection of the pool; goes back when it is dropped.
pub type Client = deadpool_postgres::Object;

/// What has to be polled for a connection outside the pool to go on.
pub type Connection = tokio_postgres::Connection<Socket, NoTlsStream>;

const CONNECT: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_secs(10);
/// Per connection: no statement, lock or forgotten transaction is waited for without end, and an acknowledged
/// COMMIT is on disk whatever the server's default is.
const SETTINGS: &str = "-c statement_timeout=60s -c lock_timeout=15s -c idle_in_transaction_session_timeout=60s \
    -c synchronous_commit=on -c timezone=UTC";

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The URL is not one.
    #[error(
        "the database URL cannot be used: {reason}; write postgres://user:password@host:5432/database, \
         or postgres://user@/database?host=/run/postgresql for a Unix socket"
    )]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers.
    #[error(
        "the database at {target} cannot be reached: {reason}; is it running, and is the address right?"
    )]
    Unreachable {
        /// Where.
        target: Target,
        /// What happened.
        reason: String,
    },
    /// The server does not let us in, or not do what we must.
    #[error(
        "the database at {target} does not permit it: {reason}; check user, password and rights"
    )]
    Denied {
        /// Where.
        target: Target,
        /// The server's words.
        reason: String,
    },
    /// There is a server, but no such database.
    #[error("the server has no such database ({target}): create it with `createdb`")]
    NoDatabase {
        /// Where.
        target: Target,
    },
    /// The roles that programs act as are not there.
    #[error(
        "the database at {target} was never migrated: run `cloud-ingest database migrate`, with a login that may \
         create roles"
    )]
    NotMigrated {
        /// Where.
        target: Target,
    },
    /// The server is too old.
    #[error("the database at {target} is PostgreSQL {found}; at least PostgreSQL 15 is needed")]
    TooOld {
        /// Where.
        target: Target,
        /// What it is.
        found: u32,
    },
    /// All connections of the pool are in use.
    #[error(
        "no connection to the database became free within {WAIT:?}: raise their number or lower the load"
    )]
    Busy,
    /// The deadline passed.
    #[error("the database did not answer within {0:?}")]
    Late(Duration),
    /// A statement failed.
    #[error("{}", in_words(.0))]
    Query(#[from] tokio_postgres::Error),
}

/// Where a database is, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Target {
    fn of(config: &Config) -> Self {
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => config
                .get_hostaddrs()
                .first()
                .map_or_else(|| "(no host)".to_owned(), ToString::to_string),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let user = config.get_user().unwrap_or("(no user)");
        let database = config.get_dbname().unwrap_or(user);
        Self(format!("{host}:{port}, database {database}, user {user}"))
    }
}

/// A database: a pool of connections. Cloning it is cheap.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    system: Arc<Config>,
    owner: Arc<Config>,
    target: Target,
    made: Arc<AtomicU64>,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Db({})", self.target)
    }
}

impl Db {
    /// Makes a pool of at most so many connections, and reaches the server once to see that it can be used. The login
    /// of the URL may be the owner of the tables or a superuser: pooled connections do not act as it.
    pub async fn connect(url: &str, connections: usize) -> Result<Self, DbError> {
        Self::connect_with(url, url, connections).await
    }

    /// The same with a login of its own for the owner of the tables. That of `url` then only has to be a member of the
    /// roles that the first migration makes.
    pub async fn connect_with(
        url: &str,
        owner_url: &str,
        connections: usize,
    ) -> Result<Self, DbError> {
        let mut config = configure(url)?;
        let target = Target::of(&config);
        let settings = config.get_options().unwrap_or_default();
        let settings = format!("{settings} -c role={SYSTEM}");
        config.options(settings);
        let system = Arc::new(config.clone());
        let made = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&made);
        let options = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_config(config, NoTls, options))
            .post_create(Hook::sync_fn(move |_, _| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }))
            .max_size(connections.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .build()
            .map_err(|e| DbError::Url {
                reason: e.to_string(),
            })?;
        let owner = Arc::new(configure(owner_url)?);
        let db = Self {
            pool,
            system,
            owner,
            target,
            made,
        };
        let server = db.server().await?;
        if server.version < OLDEST {
            return Err(DbError::TooOld {
                target: db.target,
                found: server.version / 10_000,
            });
        }
        Ok(db)
    }

    /// A connection that sees every organisation, when one is free or can be made. For the register, for ingest and
    /// for workers, which act for nobody in particular: what is done for somebody is done in [`Db::tenant`].
    pub async fn system(&self) -> Result<Client, DbError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => self.explain(error),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => DbError::Busy,
            other => DbError::Unreachable {
                target: self.target.clone(),
                reason: other.to_string(),
            },
        })
    }

    /// A transaction that sees one organisation and nothing else, until it is committed, rolled back or dropped.
    pub async fn tenant(&self, scope: &Scope) -> Result<Tenant, DbError> {
        Ok(Tenant::begin(self.system().await?, scope).await?)
    }

    /// A connection of its own, not of the pool, as the login that owns the tables: for what changes them.
    pub async fn owner(&self) -> Result<ClientWrapper, DbError> {
        let (client, connection) = self.open(&self.owner).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(
                    reason = in_words(&error),
                    "a connection to the database broke"
                );
            }
        });
        Ok(ClientWrapper::new(client, task))
    }

    /// A connection of its own, not of the pool, that acts as the system, with its messages: for whoever waits for
    /// notifications.
    pub async fn listener(&self) -> Result<(tokio_postgres::Client, Connection), DbError> {
        self.open(&self.system).await
    }

    async fn open(&self, config: &Config) -> Result<(tokio_postgres::Client, Connection), DbError> {
        match tokio::time::timeout(CONNECT, config.connect(NoTls)).await {
            Ok(made) => made.map_err(|error| self.explain(error)),
            Err(_) => Err(DbError::Late(CONNECT)),
        }
    }

    /// What answers.
    pub async fn server(&self) -> Result<Server, DbError> {
        let client = self.owner().await?;
        Server::ask(&client).await
    }

    /// One round trip; an error says why there was none within the deadline.
    pub async fn health(&self, deadline: Duration) -> Result<(), DbError> {
        let round_trip = async {
            self.system().await?.simple_query("SELECT").await?;
            Ok(())
        };
        tokio::time::timeout(deadline, round_trip)
            .await
            .unwrap_or(Err(DbError::Late(deadline)))
    }

    /// How many connections were made so far. What was remembered under another number may be of another database:
    /// a standby that took over, or a restored backup, is never reached by an old connection.
    pub fn generation(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Where it is, for people.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Gives an error its meaning; what no connection could be made for is named with its place.
    fn explain(&self, error: tokio_postgres::Error) -> DbError {
        let target = self.target.clone();
        let reason = in_words(&error);
        match error.code() {
            Some(&SqlState::INVALID_CATALOG_NAME) => DbError::NoDatabase { target },
            // What a connection is refused with whose role is not there.
            Some(&SqlState::INVALID_PARAMETER_VALUE) if reason.contains(SYSTEM) => {
                DbError::NotMigrated { target }
            }
            Some(state) if state.code().starts_with("28") || state.code() == "42501" => {
                DbError::Denied { target, reason }
            }
            Some(_) => DbError::Query(error),
            None => DbError::Unreachable { target, reason },
        }
    }
}

fn configure(url: &str) -> Result<Config, DbError> {
    let mut config: Config = url.parse().map_err(|e| DbError::Url {
        reason: in_words(&e),
    })?;
    let wrong = |reason: &str| {
        Err(DbError::Url {
            reason: reason.to_owned(),
        })
    };
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return wrong("it names no host");
    }
    if config.get_user().is_none() {
        return wrong("it names no user");
    }
    if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
        return wrong(
            "it asks for TLS, which this build does not speak to databases: use a Unix socket, loopback or a private network",
        );
    }
    let options = match config.get_options() {
        // Ours first: what the URL says later wins.
        Some(theirs) => format!("{SETTINGS} {theirs}"),
        None => SETTINGS.to_owned(),
    };
    config
        .options(options)
        .connect_timeout(CONNECT)
        .keepalives_idle(Duration::from_secs(15))
        .tcp_user_timeout(Duration::from_secs(30));
    if config.get_application_name().is_none() {
        config.application_name("patio");
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, target) in [
            (
                "postgres://u:secret@db.local:5433/fleet",
                "db.local:5433, database fleet, user u",
            ),
            (
                "postgres://u@/fleet?host=/run/postgresql",
                "/run/postgresql:5432, database fleet, user u",
            ),
            (
                "postgresql://u@%2Frun%2Fpostgresql/fleet",
                "/run/postgresql:5432, database fleet, user u",
            ),
            (
                "host=/run/postgresql user=u",
                "/run/postgresql:5432, database u, user u",
            ),
        ] {
            assert_eq!(
                Target::of(&configure(url).unwrap()).to_string(),
                target,
                "{url}"
            );
        }
        for (url, says) in [
            ("", "names no host"),
            ("mysql://x", "cannot be used"),
            ("postgres://h/db", "names no user"),
            ("postgres://u@h/db?sslmode=require", "asks for TLS"),
        ] {
            let error = configure(url).unwrap_err().to_string();
            assert!(error.contains(says), "{url}: {error}");
        }
    }
}
