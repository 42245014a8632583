//! The register: organisations, gateways with their public keys, and the assets that gateways' local keys mean.
//!
//! A gateway's keys are asked for with every block, so they are cached for [`FRESH`]; a revocation is seen by every
//! process within that time, a new key at once (what does not verify asks again).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use shared_protocol::{AssetKey, GatewayId, VerifyingKey};
use tokio_postgres::Row;

use crate::{
    clock::Clock,
    db::{Client, Db, DbError},
    scope::OrganizationId,
};

/// How old a cached answer may be.
pub const FRESH: Duration = Duration::from_secs(10);
/// How old it may be for whoever did not like it.
const VERY_FRESH: Duration = Duration::from_secs(1);
/// More cached names than any fleet has; what claims to be more is forgotten.
const MOST_CACHED: usize = 20_000;
/// Most local keys that one gateway may use.
pub const MOST_ASSETS: i64 = 10_000;

/// Why the register did not do it; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The name belongs to a gateway of another organisation, or with other keys.
    #[error(
        "gateway {0} is already registered, with another organisation or key: choose another name, or add the key to it"
    )]
    Taken(GatewayId),
    /// There is no such gateway.
    #[error("no gateway is called {0}")]
    NoGateway(GatewayId),
    /// The gateway has no such key.
    #[error("gateway {gateway} has no key {key}")]
    NoKey {
        /// The gateway.
        gateway: GatewayId,
        /// The key.
        key: String,
    },
    /// The gateway names more assets than a depot has.
    #[error("gateway {0} uses more than {MOST_ASSETS} local keys of assets")]
    TooManyAssets(GatewayId),
    /// The database is out of reach or refuses.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for RegisterError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// A gateway, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Gateway {
    /// Its number.
    pub id: i32,
    /// Name of the organisation that owns it.
    pub organization: String,
    /// Its name.
    pub name: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Since when nothing of it is taken any more.
    pub revoked_at: Option<Timestamp>,
    /// How many keys of it are trusted.
    pub keys: i64,
}

/// An organisation, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its number.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// How many gateways it has.
    pub gateways: i64,
}

/// A public key of a gateway.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its number.
    pub id: i32,
    /// The key.
    pub public: VerifyingKey,
    /// Least epoch counter that it may sign.
    pub from_counter: u32,
    /// What it signs is refused.
    pub revoked: bool,
}

/// What has to be known of a gateway to believe it.
#[derive(Clone, Debug)]
pub struct GatewayKeys {
    /// Its number.
    pub id: i32,
    /// Its organisation.
    pub organization_id: i32,
    /// Nothing of it is taken any more.
    pub revoked: bool,
    /// Its keys, newest first.
    pub keys: Vec<Key>,
}

type Cached = (Duration, Option<Arc<GatewayKeys>>);

/// The register. Cloning it is cheap; clones share the cache.
#[derive(Clone, Debug)]
pub struct Register {
    db: Db,
    clock: Clock,
    cache: Arc<Mutex<HashMap<GatewayId, Cached>>>,
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

    /// Makes sure that there is an organisation of this name, and returns its number.
    pub async fn add_organization(&self, name: &str) -> Result<OrganizationId, RegisterError> {
        let client = self.db.system().await?;
        client
            .execute(include_str!("../queries/add_organization.sql"), &[&name])
            .await?;
        let row = client
            .query_one(include_str!("../queries/organization.sql"), &[&name])
            .await?;
        Ok(row.get(0))
    }

    /// Registers a gateway and its first key; doing it again changes nothing. The organisation is created when there
    /// is none of that name.
    pub async fn add_gateway(
        &self,
        organization: &str,
        name: &GatewayId,
        key: &VerifyingKey,
    ) -> Result<i32, RegisterError> {
        let organization_id = self.add_organization(organization).await?;
        let mut client = self.db.system().await?;
        let tx = client.transaction().await?;
        let made = tx
            .execute(
                include_str!("../queries/add_gateway.sql"),
                &[&organization_id, &name.as_str()],
            )
            .await?;
        let row = tx
            .query_one(
                include_str!("../queries/lock_gateway.sql"),
                &[&name.as_str()],
            )
            .await?;
        let id: i32 = row.get("id");
        let key = key.to_bytes();
        if made == 1 {
            tx.execute(
                include_str!("../queries/add_key.sql"),
                &[&organization_id, &id, &key.as_slice(), &0i64],
            )
            .await?;
        } else {
            let known = tx
                .query(
                    include_str!("../queries/gateway_keys.sql"),
                    &[&name.as_str()],
                )
                .await?;
            let same = row.get::<_, OrganizationId>("organization_id") == organization_id
                && known
                    .iter()
                    .any(|row| row.get::<_, Option<&[u8]>>("public_key") == Some(key.as_slice()));
            if !same {
                return Err(RegisterError::Taken(name.clone()));
            }
        }
        tx.commit().await?;
        self.forget(name);
        Ok(id)
    }

    /// Trusts one more key of a gateway, for epochs whose counter is at least `from_counter`.
    pub async fn add_key(
        &self,
        name: &GatewayId,
        key: &VerifyingKey,
        from_counter: u32,
    ) -> Result<(), RegisterError> {
        let mut client = self.db.system().await?;
        let tx = client.transaction().await?;
        let row = tx
            .query_opt(
                include_str!("../queries/lock_gateway.sql"),
                &[&name.as_str()],
            )
            .await?
            .ok_or_else(|| RegisterError::NoGateway(name.clone()))?;
        tx.execute(
            include_str!("../queries/add_key.sql"),
            &[
                &row.get::<_, i32>("organization_id"),
                &row.get::<_, i32>("id"),
                &key.to_bytes().as_slice(),
                &i64::from(from_counter),
            ],
        )
        .await?;
        tx.commit().await?;
        self.forget(name);
        Ok(())
    }

    /// Refuses what a key signs from now on, everywhere within [`FRESH`].
    pub async fn revoke_key(
        &self,
        name: &GatewayId,
        key: &VerifyingKey,
    ) -> Result<(), RegisterError> {
        let changed = self
            .db
            .system()
            .await?
            .execute(
                include_str!("../queries/revoke_key.sql"),
                &[
                    &name.as_str(),
                    &key.to_bytes().as_slice(),
                    &self.clock.now(),
                ],
            )
            .await?;
        self.forget(name);
        if changed == 0 {
            return Err(RegisterError::NoKey {
                gateway: name.clone(),
                key: key.to_string(),
            });
        }
        Ok(())
    }

    /// Refuses everything of a gateway from now on, everywhere within [`FRESH`].
    pub async fn revoke_gateway(&self, name: &GatewayId) -> Result<(), RegisterError> {
        let changed = self
            .db
            .system()
            .await?
            .execute(
                include_str!("../queries/revoke_gateway.sql"),
                &[&name.as_str(), &self.clock.now()],
            )
            .await?;
        self.forget(name);
        if changed == 0 {
            return Err(RegisterError::NoGateway(name.clone()));
        }
        Ok(())
    }

    /// All gateways of all organisations, by name.
    pub async fn gateways(&self) -> Result<Vec<Gateway>, RegisterError> {
        Ok(gateways(&*self.db.system().await?).await?)
    }

    /// The number of the organisation of this name.
    pub async fn organization(&self, name: &str) -> Result<Option<OrganizationId>, RegisterError> {
        let client = self.db.system().await?;
        let sql = include_str!("../queries/organization.sql");
        let row = client.query_opt(sql, &[&name]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// All organisations, by number.
    pub async fn organizations(&self) -> Result<Vec<Organization>, RegisterError> {
        let client = self.db.system().await?;
        let sql = include_str!("../queries/organizations.sql");
        let rows = client.query(sql, &[]).await?;
        let organization = |row: &Row| Organization {
            id: row.get("id"),
            name: row.get("name"),
            created_at: row.get("created_at"),
            gateways: row.get("gateways"),
        };
        Ok(rows.iter().map(organization).collect())
    }

    /// What has to be known of a gateway to believe it, at most [`FRESH`] old; `None` for an unknown one.
    pub async fn keys(&self, name: &GatewayId) -> Result<Option<Arc<GatewayKeys>>, DbError> {
        self.keys_within(name, FRESH).await
    }

    /// The same, at most a second old: for whoever did not believe a message with what was cached.
    pub async fn keys_again(&self, name: &GatewayId) -> Result<Option<Arc<GatewayKeys>>, DbError> {
        self.keys_within(name, VERY_FRESH).await
    }

    async fn keys_within(
        &self,
        name: &GatewayId,
        age: Duration,
    ) -> Result<Option<Arc<GatewayKeys>>, DbError> {
        let now = self.clock.monotonic();
        let cached = self.cache().get(name).cloned();
        if let Some((since, found)) = cached
            && now.saturating_sub(since) < age
        {
            return Ok(found);
        }
        let client = self.db.system().await?;
        let statement = client
            .prepare_cached(include_str!("../queries/gateway_keys.sql"))
            .await?;
        let rows = client.query(&statement, &[&name.as_str()]).await?;
        let found = gateway_keys(&rows).map(Arc::new);
        let mut cache = self.cache();
        if cache.len() >= MOST_CACHED {
            cache.clear();
        }
        cache.insert(name.clone(), (now, found.clone()));
        Ok(found)
    }

    /// The assets that a gateway means by its local keys. For a key that means nothing yet an unassigned asset is
    /// created, once, however many ask for it at the same time.
    pub async fn map_assets(
        &self,
        client: &mut Client,
        gateway: &GatewayId,
        gateway_id: i32,
        keys: &[AssetKey],
    ) -> Result<HashMap<AssetKey, i32>, RegisterError> {
        let texts: Vec<&str> = keys.iter().map(AssetKey::as_str).collect();
        let mapped = |rows: Vec<Row>| -> HashMap<AssetKey, i32> {
            rows.iter()
                .filter_map(|row| Some((row.get::<_, &str>(0).parse().ok()?, row.get(1))))
                .collect()
        };
        let known = include_str!("../queries/mapped_assets.sql");
        let found = mapped(client.query(known, &[&gateway_id, &texts]).await?);
        if keys.iter().all(|key| found.contains_key(key)) {
            return Ok(found);
        }
        let tx = client.transaction().await?;
        tx.query_one(
            include_str!("../queries/lock_gateway.sql"),
            &[&gateway.as_str()],
        )
        .await?;
        tx.execute(
            include_str!("../queries/create_assets.sql"),
            &[&gateway_id, &gateway.as_str(), &texts],
        )
        .await?;
        let count: i64 = tx
            .query_one(include_str!("../queries/count_assets.sql"), &[&gateway_id])
            .await?
            .get(0);
        if count > MOST_ASSETS {
            return Err(RegisterError::TooManyAssets(gateway.clone()));
        }
        let found = mapped(tx.query(known, &[&gateway_id, &texts]).await?);
        tx.commit().await?;
        Ok(found)
    }

    fn forget(&self, name: &GatewayId) {
        self.cache().remove(name);
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<GatewayId, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gateways that a client may see, by name: all of the system's, those of its organisation in a
/// [`Tenant`](crate::Tenant).
pub async fn gateways(client: &tokio_postgres::Client) -> Result<Vec<Gateway>, DbError> {
    let sql = include_str!("../queries/gateways.sql");
    let rows = client.query(sql, &[]).await?;
    let gateway = |row: &Row| Gateway {
        id: row.get("id"),
        organization: row.get("organization"),
        name: row.get("name"),
        created_at: row.get("created_at"),
        revoked_at: row.get("revoked_at"),
        keys: row.get("keys"),
    };
    Ok(rows.iter().map(gateway).collect())
}

fn gateway_keys(rows: &[Row]) -> Option<GatewayKeys> {
    let first = rows.first()?;
    let keys = rows.iter().filter_map(|row| {
        Some(Key {
            id: row.get::<_, Option<i32>>("key_id")?,
            // 32 bytes that are no point of the curve verify nothing.
            public: VerifyingKey::from_bytes(row.get("public_key")).ok()?,
            from_counter: u32::try_from(row.get::<_, i64>("from_counter")).unwrap_or(u32::MAX),
            revoked: row.get("key_revoked"),
        })
    });
    Some(GatewayKeys {
        id: first.get("id"),
        organization_id: first.get("organization_id"),
        revoked: first.get("gateway_revoked"),
        keys: keys.collect(),
    })
}
