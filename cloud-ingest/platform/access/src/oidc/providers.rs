//! Providers of organisations.

use jiff::Timestamp;
use platform::Scope;
use url::Url;
use vault::{Ring, Secret};

use super::CLIENT_SECRET;
use crate::{Access, AccessError};

/// A provider to add.
#[derive(Clone, Debug)]
pub struct NewProvider {
    /// Its name in addresses.
    pub name: String,
    /// Its issuer identifier.
    pub issuer: String,
    /// As whom it knows us.
    pub client_id: String,
    /// By which we prove it.
    pub client_secret: Secret,
}

/// A provider, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its number.
    pub id: i64,
    /// Its name in addresses.
    pub name: String,
    /// Its issuer identifier.
    pub issuer: String,
    /// As whom it knows us.
    pub client_id: String,
    /// Since when.
    pub created_at: Timestamp,
}

fn bad<T>(field: &'static str, rule: &str) -> Result<T, AccessError> {
    let rule = rule.to_owned();
    Err(AccessError::Bad { field, rule })
}

fn check(new: &NewProvider) -> Result<(), AccessError> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if !(1..=32).contains(&new.name.len())
        || !new.name.bytes().all(plain)
        || new.name.starts_with('-')
    {
        return bad("name", "1 to 32 of a-z, 0-9 and -, and not begin with -");
    }
    // Discovery 3: no query, no fragment. Whether plain HTTP is spoken at all is the configuration's.
    let fits = Url::parse(&new.issuer).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.host_str().is_some()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
    });
    if !fits || new.issuer.len() > 500 {
        return bad(
            "issuer",
            "an address such as https://login.example.com, without ? and #",
        );
    }
    if !(1..=500).contains(&new.client_id.len()) || new.client_id.chars().any(char::is_control) {
        return bad(
            "client_id",
            "what the provider calls us, at most 500 characters",
        );
    }
    if new.client_secret.reveal().is_empty() {
        return bad("client_secret", "what the provider gave us");
    }
    Ok(())
}

impl Access {
    /// Lets people of the scope's organisation sign in at a provider.
    pub async fn add_provider(
        &self,
        scope: &Scope,
        ring: &Ring,
        new: &NewProvider,
    ) -> Result<i64, AccessError> {
        check(new)?;
        let tenant = self.db.tenant(scope).await?;
        let row = tenant
            .query_opt(
                include_str!("../../queries/add_provider.sql"),
                &[
                    &scope.organization,
                    &new.name,
                    &new.issuer,
                    &new.client_id,
                    &self.clock.now(),
                ],
            )
            .await?;
        let Some(row) = row else {
            return bad("name", "a name that no provider of any organisation has");
        };
        let id: i64 = row.get(0);
        let sealed = ring.seal(CLIENT_SECRET, id, &new.client_secret)?;
        tenant
            .execute(
                include_str!("../../queries/set_provider_secret.sql"),
                &[&id, &sealed],
            )
            .await?;
        tenant.commit().await?;
        Ok(id)
    }

    /// The providers of the scope's organisation.
    pub async fn providers(&self, scope: &Scope) -> Result<Vec<Provider>, AccessError> {
        let tenant = self.db.tenant(scope).await?;
        let rows = tenant
            .query(include_str!("../../queries/providers.sql"), &[])
            .await?;
        tenant.commit().await?;
        let provider = |row: &tokio_postgres::Row| Provider {
            id: row.get("id"),
            name: row.get("name"),
            issuer: row.get("issuer"),
            client_id: row.get("client_id"),
            created_at: row.get("created_at"),
        };
        Ok(rows.iter().map(provider).collect())
    }

    /// Nobody signs in at this provider any more; who is signed in stays so.
    pub async fn remove_provider(&self, scope: &Scope, name: &str) -> Result<(), AccessError> {
        let tenant = self.db.tenant(scope).await?;
        let gone = tenant
            .execute(include_str!("../../queries/remove_provider.sql"), &[&name])
            .await?;
        tenant.commit().await?;
        if gone == 1 {
            return Ok(());
        }
        Err(AccessError::Missing {
            what: "provider",
            name: name.to_owned(),
        })
    }
}
