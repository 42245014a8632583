//! From what a request shows to who asks and what they may.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use platform::{Actor, DbError, OrganizationId};

use crate::{
    Access, Permissions,
    secret::{self, ACCESS, KEY, PAGE, hash},
};

/// How old an answer of the cache may be: a revocation reaches other processes within this time.
pub const FRESH: Duration = Duration::from_secs(5);
const MOST_SEEN: usize = 10_000;

/// Who asks, and what they may.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// For whom they act.
    pub organization: OrganizationId,
    /// Who they are.
    pub actor: Actor,
    /// What they may.
    pub permissions: Permissions,
    /// The session, unless it is a key.
    pub session: Option<i64>,
    /// What has to come with what a page changes; only pages have it.
    pub csrf: Option<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} of {})", self.actor, self.organization)
    }
}

/// Who was recognised lately, by the hash of what they showed.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<[u8; 32], (Duration, Identity)>>);

impl Seen {
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], (Duration, Identity)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Access {
    /// Who shows this as a bearer token: an API key or an access token. `None`: nobody.
    pub async fn who(&self, token: &str) -> Result<Option<Identity>, DbError> {
        let sort = if token.starts_with(KEY) {
            KEY
        } else if token.starts_with(ACCESS) {
            ACCESS
        } else {
            return Ok(None);
        };
        self.recognise(sort, token).await
    }

    /// Whose page shows this cookie.
    pub async fn whose_page(&self, cookie: &str) -> Result<Option<Identity>, DbError> {
        if !cookie.starts_with(PAGE) {
            return Ok(None);
        }
        self.recognise(PAGE, cookie).await
    }

    async fn recognise(&self, sort: &str, token: &str) -> Result<Option<Identity>, DbError> {
        let hash = hash(token);
        let now = self.clock.monotonic();
        if let Some((since, identity)) = self.seen.lock().get(&hash)
            && now.saturating_sub(*since) < FRESH
        {
            return Ok(Some(identity.clone()));
        }
        let found = if sort == KEY {
            self.key_of(token, &hash).await?
        } else {
            self.session_of(sort, token, &hash).await?
        };
        let mut seen = self.seen.lock();
        match &found {
            Some(identity) => {
                if seen.len() >= MOST_SEEN {
                    seen.clear();
                }
                seen.insert(hash, (now, identity.clone()));
            }
            None => {
                seen.remove(&hash);
            }
        }
        Ok(found)
    }

    async fn key_of(&self, key: &str, hash: &[u8; 32]) -> Result<Option<Identity>, DbError> {
        let own = key.trim_start_matches(KEY);
        let Some((prefix, _)) = own.split_once('_') else {
            return Ok(None);
        };
        let client = self.db.system().await?;
        let now = self.clock.now();
        let find = client
            .prepare_cached(include_str!("../queries/who_has_key.sql"))
            .await?;
        let Some(row) = client.query_opt(&find, &[&prefix, &now]).await? else {
            return Ok(None);
        };
        // Both are hashes of 256 random bits: how long it takes to compare them says nothing about the key.
        if row.get::<_, &[u8]>("hash") != hash {
            return Ok(None);
        }
        let id: i32 = row.get("id");
        let used = client
            .prepare_cached(include_str!("../queries/key_was_used.sql"))
            .await?;
        client.execute(&used, &[&id, &now]).await?;
        Ok(Some(Identity {
            organization: row.get("organization_id"),
            actor: Actor::Key(id),
            permissions: Permissions::known(row.get::<_, Vec<&str>>("scopes")),
            session: None,
            csrf: None,
        }))
    }

    async fn session_of(
        &self,
        sort: &str,
        token: &str,
        hash: &[u8; 32],
    ) -> Result<Option<Identity>, DbError> {
        let word = sort.trim_start_matches("patio_").trim_end_matches('_');
        let client = self.db.system().await?;
        let find = client
            .prepare_cached(include_str!("../queries/who_has_token.sql"))
            .await?;
        let now = self.clock.now();
        let found = client
            .query_opt(&find, &[&hash.as_slice(), &word, &now])
            .await?;
        Ok(found.map(|row| Identity {
            organization: row.get("organization_id"),
            actor: Actor::User(row.get("user_id")),
            permissions: Permissions::of_roles(row.get::<_, Vec<&str>>("roles")),
            session: Some(row.get("session_id")),
            csrf: (sort == PAGE).then(|| secret::csrf(token)),
        }))
    }
}
