//! Keys of programs: made, listed, rotated with an overlap, revoked.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use platform::Scope;
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Row;
use utoipa::ToSchema;

use crate::{
    Access, AccessError, Permissions,
    secret::{self, KEY, hash, random},
    session::later,
};

/// Longest time that an old key goes on beside its successor.
pub const LONGEST_OVERLAP: Duration = Duration::from_hours(90 * 24);

/// An API key, as lists show it: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKey {
    /// Its number.
    pub id: i32,
    /// What it is for, for people.
    pub name: String,
    /// Its first part, by which it is recognised.
    pub prefix: String,
    /// Names of permissions.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Until when it is good; null: until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// Since when it is not.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to a minute.
    pub last_used_at: Option<Timestamp>,
    /// Number of the key that takes its place.
    pub rotated_to: Option<i32>,
}

/// A key that was just made. Its secret is told this once.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewKey {
    /// Its number.
    pub id: i32,
    /// Goes into `Authorization: Bearer`; it is kept nowhere.
    pub key: String,
    /// Until when it is good; null: until it is revoked.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({})", self.id)
    }
}

impl Access {
    /// Makes a key of the scope's organisation with these permissions.
    pub async fn add_key(
        &self,
        scope: &Scope,
        name: &str,
        permissions: &Permissions,
        expires_at: Option<Timestamp>,
    ) -> Result<NewKey, AccessError> {
        if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(AccessError::Bad {
                field: "name",
                rule: "1 to 200 characters long".to_owned(),
            });
        }
        if permissions.is_empty() {
            return Err(AccessError::Bad {
                field: "scopes",
                rule: "at least one permission".to_owned(),
            });
        }
        let tenant = self.db.tenant(scope).await?;
        let scopes: Vec<String> = permissions.names().into_iter().map(str::to_owned).collect();
        let made = insert(&tenant, scope, name, &scopes, self.clock.now(), expires_at).await?;
        let after = json!({"scopes": scopes, "expires_at": expires_at});
        let subject = format!("key:{}", made.id);
        self.note(&tenant, "access.add_key", &subject, None, Some(after))
            .await?;
        tenant.commit().await?;
        Ok(made)
    }

    /// Keys of the scope's organisation by number, from the one after `after` on.
    pub async fn keys(
        &self,
        scope: &Scope,
        after: Option<i32>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, AccessError> {
        let tenant = self.db.tenant(scope).await?;
        let rows = tenant
            .query(
                include_str!("../queries/keys.sql"),
                &[&after.unwrap_or(0), &i64::from(limit)],
            )
            .await?;
        tenant.commit().await?;
        Ok(rows.iter().map(api_key).collect())
    }

    /// Makes a key that takes another's place: same name, same permissions. The old one goes on for the overlap.
    pub async fn rotate_key(
        &self,
        scope: &Scope,
        id: i32,
        overlap: Duration,
    ) -> Result<NewKey, AccessError> {
        if overlap > LONGEST_OVERLAP {
            return Err(AccessError::Bad {
                field: "overlap",
                rule: format!("at most {} hours", LONGEST_OVERLAP.as_secs() / 3600),
            });
        }
        let now = self.clock.now();
        let tenant = self.db.tenant(scope).await?;
        let row = tenant
            .query_opt(include_str!("../queries/lock_key.sql"), &[&id, &now])
            .await?
            .ok_or_else(|| no_key(id))?;
        let (name, scopes): (&str, Vec<String>) = (row.get("name"), row.get("scopes"));
        let made = insert(&tenant, scope, name, &scopes, now, row.get("expires_at")).await?;
        tenant
            .execute(
                include_str!("../queries/rotate_key.sql"),
                &[&id, &made.id, &later(now, overlap)],
            )
            .await?;
        let after = json!({"rotated_to": made.id, "overlap_s": overlap.as_secs()});
        let subject = format!("key:{id}");
        self.note(&tenant, "access.rotate_key", &subject, None, Some(after))
            .await?;
        tenant.commit().await?;
        self.seen.forget();
        Ok(made)
    }

    /// A key is good no more: here at once, in other processes within [`crate::who::FRESH`].
    pub async fn revoke_key(&self, scope: &Scope, id: i32) -> Result<(), AccessError> {
        let tenant = self.db.tenant(scope).await?;
        let changed = tenant
            .execute(
                include_str!("../queries/revoke_key.sql"),
                &[&id, &self.clock.now()],
            )
            .await?;
        if changed == 0 {
            return Err(no_key(id));
        }
        self.note(
            &tenant,
            "access.revoke_key",
            &format!("key:{id}"),
            None,
            None,
        )
        .await?;
        tenant.commit().await?;
        self.seen.forget();
        Ok(())
    }
}

fn no_key(id: i32) -> AccessError {
    AccessError::Missing {
        what: "key",
        name: id.to_string(),
    }
}

async fn insert(
    client: &tokio_postgres::Client,
    scope: &Scope,
    name: &str,
    scopes: &[String],
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> Result<NewKey, AccessError> {
    let prefix = hex::encode(random::<6>()?);
    let key = secret::fresh(&format!("{KEY}{prefix}_"))?;
    let id = client
        .query_one(
            include_str!("../queries/add_key.sql"),
            &[
                &scope.organization,
                &name,
                &prefix,
                &hash(&key).as_slice(),
                &scopes,
                &now,
                &scope.actor.to_string(),
                &expires_at,
            ],
        )
        .await?
        .get(0);
    Ok(NewKey {
        id,
        key,
        expires_at,
    })
}

fn api_key(row: &Row) -> ApiKey {
    ApiKey {
        id: row.get("id"),
        name: row.get("name"),
        prefix: row.get("prefix"),
        scopes: row.get("scopes"),
        created_at: row.get("created_at"),
        created_by: row.get("created_by"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
        last_used_at: row.get("last_used_at"),
        rotated_to: row.get("rotated_to"),
    }
}
