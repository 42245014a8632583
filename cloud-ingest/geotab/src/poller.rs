//! Asking. One process asks a database; each of its feeds is asked at most once a second (Geotab's "Rate Limits").
//!
//! 1. Sign in; go on with the host that the answer names, when it is of the same domain.
//! 2. Ask a feed from its version. The session is over: sign in again, once. Too often: wait as long as told. Anything else,
//!    a torn answer included: wait, longer each time, and ask the same again, for asking changes nothing.
//! 3. Store the page and move the version, in one transaction; whoever finds the version moved begins again with 2.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use deadpool_postgres::Transaction;
use devices::{Along, Device, Kind, Register, Sink, StoreError};
use hyper::Method;
use jiff::Timestamp;
use outbound::{Client, Request, Rules};
use platform::{Backoff, DbError, OrganizationId};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;
use vault::Ring;

use crate::{
    PASSWORDS, meaning,
    protocol::{self, Entity, MOST, Page, Refusal, Session},
};

/// Where calls to MyGeotab may go. A full page is about 15 MB.
pub const RULES: Rules = Rules {
    total: Duration::from_mins(2),
    answer: 96 * 1024 * 1024,
    ..Rules::STRANGERS
};

/// How it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https`; tests speak `http` to themselves.
    pub scheme: &'static str,
    /// How long after a feed had nothing more.
    pub every: Duration,
    /// Shortest time between two requests for one feed.
    pub least: Duration,
    /// Most records of a page.
    pub limit: u32,
    /// First and longest wait after a failure.
    pub backoff: (Duration, Duration),
}

impl Settings {
    /// What MyGeotab permits.
    pub const fn every(every: Duration) -> Self {
        Self {
            scheme: "https",
            every,
            least: Duration::from_millis(1100),
            limit: MOST,
            backoff: (Duration::from_secs(2), Duration::from_mins(5)),
        }
    }
}

/// A database that this process asks.
#[derive(Clone)]
struct Account {
    id: i64,
    organization: OrganizationId,
    database: String,
    server: String,
    user: String,
    password: Vec<u8>,
    created_at: Timestamp,
}

/// Asks all databases.
#[derive(Clone, Debug)]
pub struct Poller {
    sink: Sink,
    register: Register,
    ring: Ring,
    client: Client,
    settings: Settings,
    /// Names this process.
    holder: String,
}

/// How asking a database stands.
struct Asking {
    account: Account,
    host: String,
    session: Option<Session>,
    /// When each feed may be asked next.
    next: HashMap<Entity, Instant>,
    backoff: Backoff,
    fault: String,
}

/// Why a round brought nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Call(#[from] outbound::CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("{0}")]
    Account(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl Poller {
    /// With what it needs; `holder` names this process among others.
    pub fn new(sink: Sink, ring: Ring, client: Client, settings: Settings, holder: String) -> Self {
        Self {
            register: Register::new(sink.db().clone(), sink.clock().clone()),
            sink,
            ring,
            client,
            settings,
            holder,
        }
    }

    /// Asks until it is time to stop. A page in hand is stored or comes again.
    pub async fn run(self, stop: CancellationToken) {
        let mut asking: HashMap<i64, Asking> = HashMap::new();
        while !stop.is_cancelled() {
            let wait = stop.run_until_cancelled(self.round(&mut asking)).await;
            let next = wait.unwrap_or_else(Instant::now);
            stop.run_until_cancelled(sleep_until(next)).await;
        }
    }

    /// Asks every feed that is due, and says when to come again.
    async fn round(&self, asking: &mut HashMap<i64, Asking>) -> Instant {
        match self.hold().await {
            Ok(accounts) => {
                asking.retain(|id, _| accounts.iter().any(|account| account.id == *id));
                for account in accounts {
                    let fresh = || self.begin(account.clone());
                    let one = asking.entry(account.id).or_insert_with(fresh);
                    if one.account.server != account.server
                        || one.account.user != account.user
                        || one.account.password != account.password
                    {
                        *one = self.begin(account.clone());
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the databases of MyGeotab are not known"),
        }
        // Databases do not wait for each other.
        let rounds = asking.values_mut().map(|one| self.ask_due(one));
        futures::future::join_all(rounds).await;
        let soonest = asking
            .values()
            .flat_map(|one| one.next.values().copied())
            .min();
        let latest = Instant::now() + Duration::from_secs(5);
        soonest.map_or(latest, |soonest| soonest.min(latest))
    }

    async fn hold(&self) -> Result<Vec<Account>, DbError> {
        let client = self.sink.db().system().await?;
        let now = self.sink.clock().now();
        let rows = client
            .query(include_str!("../queries/hold.sql"), &[&self.holder, &now])
            .await?;
        let account = |row: &tokio_postgres::Row| Account {
            id: row.get("id"),
            organization: row.get("organization_id"),
            database: row.get("database"),
            server: row.get("server"),
            user: row.get("user_name"),
            password: row.get("password"),
            created_at: row.get("created_at"),
        };
        Ok(rows.iter().map(account).collect())
    }

    fn begin(&self, account: Account) -> Asking {
        let (first, longest) = self.settings.backoff;
        let now = Instant::now();
        Asking {
            host: account.server.clone(),
            session: None,
            next: Entity::ALL
                .into_iter()
                .map(|entity| (entity, now))
                .collect(),
            backoff: Backoff::new(first, longest, u32::MAX),
            fault: String::new(),
            account,
        }
    }

    async fn ask_due(&self, asking: &mut Asking) {
        for entity in Entity::ALL {
            if asking.next[&entity] > Instant::now() {
                continue;
            }
            let (first, longest) = self.settings.backoff;
            let (wait, fault) = match self.ask(asking, entity).await {
                Ok(more) => {
                    asking.backoff = Backoff::new(first, longest, u32::MAX);
                    let wait = if more {
                        self.settings.least
                    } else {
                        self.settings.every
                    };
                    (wait, String::new())
                }
                Err(Trouble::Store(StoreError::Moved)) => (self.settings.least, String::new()),
                Err(trouble) => {
                    let told = match &trouble {
                        Trouble::Refused(Refusal::OverLimit(told)) => *told,
                        _ => None,
                    };
                    let own = asking.backoff.wait().unwrap_or(longest);
                    tracing::warn!(database = asking.account.database, entity = entity.name(), %trouble, "MyGeotab gives nothing");
                    (told.unwrap_or(own), trouble.to_string())
                }
            };
            asking
                .next
                .insert(entity, Instant::now() + wait.max(self.settings.least));
            if fault != asking.fault {
                self.tell(&asking.account, &fault).await;
                asking.fault = fault;
            }
        }
    }

    /// Keeps how it stands, for people.
    async fn tell(&self, account: &Account, fault: &str) {
        let told = async {
            let client = self.sink.db().system().await?;
            let sql = include_str!("../queries/set_fault.sql");
            client.execute(sql, &[&account.id, &fault]).await?;
            Ok::<_, DbError>(())
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, "how MyGeotab is doing cannot be kept");
        }
    }

    /// Asks a feed once and stores what came; true: there is more.
    async fn ask(&self, asking: &mut Asking, entity: Entity) -> Result<bool, Trouble> {
        let client = self.sink.db().system().await?;
        let id = asking.account.id;
        let sql = include_str!("../queries/version.sql");
        let version: String = client.query_one(sql, &[&id, &entity.name()]).await?.get(0);
        drop(client);
        let mut fresh = false;
        let page = loop {
            let session = match &asking.session {
                Some(session) => session.clone(),
                None => {
                    fresh = true;
                    self.sign_in(asking).await?
                }
            };
            let since = asking.account.created_at;
            let request =
                protocol::get_feed(entity, &version, since, self.settings.limit, &session);
            match self.call(&asking.host, &request).await {
                Ok(result) => break protocol::page(result)?,
                Err(Trouble::Refused(refusal @ Refusal::Session(_))) => {
                    asking.session = None;
                    if fresh {
                        return Err(refusal.into());
                    }
                    // The feed was asked just now, and counts as asked.
                    sleep(self.settings.least).await;
                }
                Err(other) => return Err(other),
            }
        };
        let more = page.data.len() >= self.settings.limit as usize;
        self.store(&asking.account, entity, version, page).await?;
        Ok(more)
    }

    async fn sign_in(&self, asking: &mut Asking) -> Result<Session, Trouble> {
        let account = &asking.account;
        let password = self
            .ring
            .open(PASSWORDS[0], account.id, &account.password)
            .map_err(|error| Trouble::Account(error.to_string()))?;
        let password = String::from_utf8_lossy(password.reveal());
        let request = protocol::authenticate(&account.database, &account.user, &password);
        let session = protocol::session(&self.call(&asking.host, &request).await?)?;
        if let Some(host) = &session.host {
            if !protocol::may_follow(&account.server, host) {
                return Err(Trouble::Account(format!(
                    "{} sends us to {host}, which is not of its domain: the session is not taken there",
                    asking.host
                )));
            }
            asking.host.clone_from(host);
        }
        asking.session = Some(session.clone());
        Ok(session)
    }

    async fn call(&self, host: &str, request: &Value) -> Result<Value, Trouble> {
        let url = Url::parse(&format!("{}://{host}/apiv1", self.settings.scheme))
            .map_err(|error| Trouble::Account(format!("{host}: {error}")))?;
        let request = Request::new(Method::POST, url, request.to_string())
            .header("content-type", "application/json");
        let answer = self.client.call(request).await?;
        if answer.cut {
            return Err(Refusal::Unreadable("it is longer than any page".to_owned()).into());
        }
        let header = |name| answer.headers.get(name)?.to_str().ok();
        let wait = protocol::told_to_wait(
            header("retry-after"),
            header("x-rate-limit-reset"),
            self.sink.clock().now(),
        );
        Ok(protocol::result(answer.status, wait, &answer.body)?)
    }

    async fn store(
        &self,
        account: &Account,
        entity: Entity,
        from: String,
        page: Page,
    ) -> Result<(), Trouble> {
        let mut known: HashMap<String, Option<Arc<Device>>> = HashMap::new();
        let (mut records, mut faults) = (Vec::new(), Vec::new());
        for record in &page.data {
            let name = match entity {
                Entity::Device => record["id"].as_str(),
                _ => record["device"]["id"].as_str(),
            };
            let Some(name) = name.filter(|name| *name != "NoDeviceId") else {
                continue;
            };
            if !known.contains_key(name) {
                let key = format!("{}/{name}", account.database);
                let device = self
                    .register
                    .meet(account.organization, Kind::Geotab, &key)
                    .await?;
                known.insert(name.to_owned(), device);
            }
            if let (Some(Some(device)), Some((_, time))) = (known.get(name), meaning::about(record))
            {
                match entity {
                    Entity::FaultData => faults.push((Arc::clone(device), time, record.clone())),
                    _ => records.push(meaning::record(entity, device, time, record)),
                }
            }
        }
        let step = Step {
            account: account.clone(),
            entity,
            from,
            to: page.to_version,
            count: page.data.len() as i64,
            faults,
            now: self.sink.clock().now(),
        };
        self.sink.store(&records, Some(&step)).await?;
        Ok(())
    }
}

/// What moves with the rows of a page.
struct Step {
    account: Account,
    entity: Entity,
    from: String,
    to: String,
    count: i64,
    faults: Vec<(Arc<Device>, Timestamp, Value)>,
    now: Timestamp,
}

impl Along for Step {
    fn write<'a>(
        &'a self,
        tx: &'a Transaction<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<bool, tokio_postgres::Error>> + Send + 'a>> {
        Box::pin(async move {
            let sql = include_str!("../queries/move.sql");
            let (id, entity) = (self.account.id, self.entity.name());
            let moved = tx
                .execute(
                    sql,
                    &[&id, &entity, &self.from, &self.to, &self.count, &self.now],
                )
                .await?;
            if moved == 0 {
                return Ok(false);
            }
            if !self.faults.is_empty() {
                let name = |fault: &Value| {
                    fault["id"].as_str().map_or_else(
                        || hex_of(meaning::digest(self.entity, fault)),
                        str::to_owned,
                    )
                };
                let ids: Vec<String> = self.faults.iter().map(|(.., fault)| name(fault)).collect();
                let devices: Vec<i32> = self.faults.iter().map(|(device, ..)| device.id).collect();
                let times: Vec<Timestamp> = self.faults.iter().map(|(_, time, _)| *time).collect();
                let diagnostics: Vec<&str> = self
                    .faults
                    .iter()
                    .map(|(.., fault)| meaning::id_of(&fault["diagnostic"]).unwrap_or("none"))
                    .collect();
                let payloads: Vec<String> = self
                    .faults
                    .iter()
                    .map(|(.., fault)| fault.to_string())
                    .collect();
                let sql = include_str!("../queries/add_faults.sql");
                let organization = self.account.organization;
                tx.execute(
                    sql,
                    &[
                        &organization,
                        &id,
                        &ids,
                        &devices,
                        &times,
                        &diagnostics,
                        &payloads,
                    ],
                )
                .await?;
            }
            Ok(true)
        })
    }
}

fn hex_of(digest: devices::Digest) -> String {
    use std::fmt::Write as _;
    digest.0.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
