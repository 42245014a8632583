//! Which device speaks of which asset.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use platform::{Clock, Db, DbError, OrganizationId};
use serde::{Deserialize, Serialize};
use shared_protocol::Source;
use utoipa::ToSchema;

/// How long an answer of the register is believed.
const FRESH: Duration = Duration::from_secs(10);
/// Most answers that are remembered: strangers must not fill the memory.
const MOST: usize = 20_000;

/// What a device is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Teltonika tracker; its key is the IMEI.
    Teltonika,
    /// A vehicle of a MyGeotab database; its key is `database/id`.
    Geotab,
    /// A device that publishes JSON over MQTT ([`crate::json`]); its key is the last level of its topic.
    Json,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Teltonika, Self::Geotab, Self::Json];

    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Teltonika => "teltonika",
            Self::Geotab => "geotab",
            Self::Json => "json",
        }
    }

    /// The way by which its samples come.
    pub const fn source(self) -> Source {
        match self {
            Self::Teltonika => Source::Teltonika,
            Self::Geotab => Source::Geotab,
            Self::Json => Source::Json,
        }
    }
}

/// A registered device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub id: i32,
    /// Who owns it.
    pub organization: OrganizationId,
    /// What it measures.
    pub asset: i32,
    /// What it is.
    pub kind: Kind,
    /// How it names itself.
    pub key: String,
}

/// Why the register does not do it; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The database is in trouble.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The key means nothing.
    #[error("`{key}` is no key of a {kind} device: {expected}", kind = kind.word())]
    Key {
        /// The key.
        key: String,
        /// Of which kind.
        kind: Kind,
        /// What it should look like.
        expected: &'static str,
    },
    /// The organisation is not known.
    #[error("there is no organisation {0}: `cloud-ingest organization add` makes it")]
    NoOrganization(String),
    /// The asset is not there, or another organisation's.
    #[error("organisation {organization} has no asset {asset}")]
    NoAsset {
        /// The organisation.
        organization: String,
        /// The asset.
        asset: i32,
    },
    /// Somebody else has the device.
    #[error("{0} belongs to another organisation; remove it there first")]
    Taken(String),
    /// It is not registered.
    #[error("{0} is not registered")]
    NoDevice(String),
}

impl From<tokio_postgres::Error> for RegisterError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Checks the key of a device.
pub(crate) fn check_key(kind: Kind, key: &str) -> Result<(), RegisterError> {
    let word = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (1..=48).contains(&text.len()) && text.bytes().all(fits)
    };
    let (right, expected) = match kind {
        Kind::Teltonika => (
            key.len() == 15 && key.bytes().all(|byte| byte.is_ascii_digit()),
            "expected its IMEI, 15 digits",
        ),
        Kind::Geotab => (
            key.split_once('/')
                .is_some_and(|(database, id)| word(database) && word(id)),
            "expected database/id, such as acme/b1A",
        ),
        Kind::Json => (
            word(key),
            "expected 1 to 48 letters, digits, `.`, `_` or `-`",
        ),
    };
    if right {
        return Ok(());
    }
    Err(RegisterError::Key {
        key: key.chars().take(80).collect(),
        kind,
        expected,
    })
}

type Cached = (Duration, Option<Arc<Device>>);

/// The register. Cloning it is cheap; clones share the cache.
#[derive(Clone, Debug)]
pub struct Register {
    db: Db,
    clock: Clock,
    cache: Arc<Mutex<HashMap<(Kind, String), Cached>>>,
}

impl Register {
    /// The register of a database.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self {
            db,
            clock,
            cache: Arc::default(),
        }
    }

    /// A device in service, as it was at most 10 s ago; `None`: nobody knows it.
    pub async fn find(&self, kind: Kind, key: &str) -> Result<Option<Arc<Device>>, DbError> {
        if check_key(kind, key).is_err() {
            return Ok(None);
        }
        let now = self.clock.monotonic();
        let name = (kind, key.to_owned());
        if let Some((seen, found)) = self.cache().get(&name)
            && now.saturating_sub(*seen) < FRESH
        {
            return Ok(found.clone());
        }
        let client = self.db.system().await?;
        let row = client
            .query_opt(include_str!("../queries/device.sql"), &[&kind.word(), &key])
            .await?;
        let found = row.map(|row| {
            Arc::new(Device {
                id: row.get("id"),
                organization: row.get("organization_id"),
                asset: row.get("asset_id"),
                kind,
                key: row.get("key"),
            })
        });
        let mut cache = self.cache();
        if cache.len() >= MOST {
            cache.clear();
        }
        cache.insert(name, (now, found.clone()));
        Ok(found)
    }

    /// Registers a device; doing it again changes nothing. Without an asset a vehicle of its name is made for it.
    pub async fn add(
        &self,
        organization: &str,
        kind: Kind,
        key: &str,
        asset: Option<i32>,
    ) -> Result<Device, RegisterError> {
        check_key(kind, key)?;
        let register = platform::Register::new(self.db.clone(), self.clock.clone());
        let id = register
            .organization(organization)
            .await
            .map_err(|error| match error {
                platform::RegisterError::Db(error) => RegisterError::Db(error),
                other => RegisterError::NoOrganization(format!("{organization} ({other})")),
            })?
            .ok_or_else(|| RegisterError::NoOrganization(organization.to_owned()))?;
        let mut client = self.db.system().await?;
        let tx = client.transaction().await?;
        let known = tx
            .query_opt(
                include_str!("../queries/lock_key.sql"),
                &[&kind.word(), &key],
            )
            .await?;
        if let Some(asset) = asset {
            let sql = include_str!("../queries/asset.sql");
            if tx.query_opt(sql, &[&id, &asset]).await?.is_none() {
                return Err(RegisterError::NoAsset {
                    organization: organization.to_owned(),
                    asset,
                });
            }
        }
        let device = |number: i32, asset: i32| Device {
            id: number,
            organization: id,
            asset,
            kind,
            key: key.to_owned(),
        };
        let added = match known {
            Some(row) if row.get::<_, OrganizationId>("organization_id") != id => {
                return Err(RegisterError::Taken(key.to_owned()));
            }
            Some(row) => {
                let asset = asset.unwrap_or_else(|| row.get("asset_id"));
                let number: i32 = row.get("id");
                tx.execute(include_str!("../queries/restore.sql"), &[&number, &asset])
                    .await?;
                device(number, asset)
            }
            None => {
                let asset = match asset {
                    Some(asset) => asset,
                    None => {
                        let name = format!("{} {key}", kind.word());
                        let sql = include_str!("../queries/add_asset.sql");
                        tx.query_one(sql, &[&id, &name]).await?.get(0)
                    }
                };
                let sql = include_str!("../queries/add.sql");
                let now = self.clock.now();
                match tx
                    .query_opt(sql, &[&id, &asset, &kind.word(), &key, &now])
                    .await?
                {
                    Some(row) => device(row.get(0), asset),
                    // Somebody registered it in between.
                    None => return Err(RegisterError::Taken(key.to_owned())),
                }
            }
        };
        tx.commit().await?;
        self.cache().clear();
        Ok(added)
    }

    /// A device that a service of the organisation names; one that nobody knows is registered, with a vehicle of its name.
    /// `None`: it was taken out of service, or is another organisation's.
    pub async fn meet(
        &self,
        organization: OrganizationId,
        kind: Kind,
        key: &str,
    ) -> Result<Option<Arc<Device>>, DbError> {
        if check_key(kind, key).is_err() {
            return Ok(None);
        }
        let mine = |device: &Arc<Device>| device.organization == organization;
        if let Some(device) = self.find(kind, key).await? {
            return Ok(Some(device).filter(mine));
        }
        let mut client = self.db.system().await?;
        let tx = client.transaction().await?;
        let known = include_str!("../queries/known.sql");
        if tx.query_opt(known, &[&kind.word(), &key]).await?.is_none() {
            let name = format!("{} {key}", kind.word());
            let sql = include_str!("../queries/add_asset.sql");
            let asset: i32 = tx.query_one(sql, &[&organization, &name]).await?.get(0);
            let sql = include_str!("../queries/add.sql");
            let now = self.clock.now();
            let added = tx
                .query_opt(sql, &[&organization, &asset, &kind.word(), &key, &now])
                .await?;
            // Otherwise somebody registered it in between, and the vehicle is not needed.
            if added.is_some() {
                tx.commit().await?;
            }
        }
        self.cache().remove(&(kind, key.to_owned()));
        Ok(self.find(kind, key).await?.filter(mine))
    }

    /// Takes a device out of service: nothing more of it is taken. What it has measured stays.
    pub async fn remove(&self, kind: Kind, key: &str) -> Result<(), RegisterError> {
        let client = self.db.system().await?;
        let sql = include_str!("../queries/remove.sql");
        let now = self.clock.now();
        if client.execute(sql, &[&kind.word(), &key, &now]).await? == 0 {
            return Err(RegisterError::NoDevice(key.to_owned()));
        }
        self.cache().clear();
        Ok(())
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<(Kind, String), Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
