//! People: added, listed, given roles, passwords and one-time codes, and disabled.

use jiff::Timestamp;
use platform::{Scope, Tenant};
use serde::Serialize;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};
use utoipa::ToSchema;
use vault::{Column, Ring};

use crate::{Access, AccessError, permission::catalogue, secret};

/// Where secrets of one-time codes are sealed.
pub(crate) const CODE: Column = Column {
    table: "access.user",
    column: "code_sealed",
    row: "id",
};

/// Somebody new.
#[derive(Clone)]
pub struct NewUser {
    /// By which they sign in.
    pub email: String,
    /// Their name, for people.
    pub name: String,
    /// Their password.
    pub password: String,
    /// Names of roles.
    pub roles: Vec<String>,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewUser")
    }
}

/// Somebody who may sign in, as lists show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// Their number.
    pub id: i32,
    /// By which they sign in.
    pub email: String,
    /// Their name, for people.
    pub name: String,
    /// Their roles.
    pub roles: Vec<String>,
    /// Whether they have to give a one-time code.
    pub needs_code: bool,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when they may not sign in.
    pub disabled_at: Option<Timestamp>,
}

/// The address as it is kept and looked for.
pub(crate) fn normal(email: &str) -> Result<String, AccessError> {
    let email = email.trim().to_lowercase();
    let (local, domain) = email.rsplit_once('@').unwrap_or_default();
    let fits = !local.is_empty()
        && domain.contains('.')
        && email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    fits.then_some(email).ok_or_else(|| AccessError::Bad {
        field: "email",
        rule: "an address such as ana@example.com".to_owned(),
    })
}

fn check_roles(roles: &[String]) -> Result<(), AccessError> {
    let known: Vec<&str> = catalogue()
        .roles
        .iter()
        .map(|role| role.name.as_str())
        .collect();
    match roles.iter().find(|role| !known.contains(&role.as_str())) {
        None => Ok(()),
        Some(role) => Err(AccessError::Bad {
            field: "role",
            rule: format!("one of {}, and is `{role}`", known.join(", ")),
        }),
    }
}

/// The generator of somebody's one-time codes: RFC 6238 with SHA-1, 6 digits, 30 s, one step to either side.
pub(crate) fn codes(secret: &[u8]) -> Totp {
    Builder::new()
        .with_secret(Secret::from(secret.to_vec()))
        .with_skew(1)
        .build_noncompliant()
}

impl Access {
    /// Adds somebody to the organisation of the scope, and returns their number.
    pub async fn add_user(&self, scope: &Scope, new: &NewUser) -> Result<i32, AccessError> {
        let email = normal(&new.email)?;
        check_roles(&new.roles)?;
        if !(1..=200).contains(&new.name.chars().count()) || new.name.chars().any(char::is_control)
        {
            return Err(AccessError::Bad {
                field: "name",
                rule: "1 to 200 characters long".to_owned(),
            });
        }
        let hash = self.passwords.hash(&new.password).await?;
        let tenant = self.db.tenant(scope).await?;
        let row = tenant
            .query_opt(
                include_str!("../queries/add_user.sql"),
                &[
                    &scope.organization,
                    &email,
                    &new.name,
                    &hash,
                    &self.clock.now(),
                ],
            )
            .await?;
        let id: i32 = row.ok_or(AccessError::Taken(email))?.get(0);
        give_roles(&tenant, id, &new.roles).await?;
        let after = json!({"roles": new.roles});
        self.note(&tenant, "access.add_user", &subject(id), None, Some(after))
            .await?;
        tenant.commit().await?;
        Ok(id)
    }

    /// Users of an organisation by number, from the one after `after` on.
    pub async fn users(
        &self,
        scope: &Scope,
        after: Option<i32>,
        limit: u32,
    ) -> Result<Vec<User>, AccessError> {
        let tenant = self.db.tenant(scope).await?;
        let rows = tenant
            .query(
                include_str!("../queries/users.sql"),
                &[&after.unwrap_or(0), &i64::from(limit)],
            )
            .await?;
        let user = |row: &tokio_postgres::Row| User {
            id: row.get("id"),
            email: row.get("email"),
            name: row.get("name"),
            roles: row.get("roles"),
            needs_code: row.get("needs_code"),
            created_at: row.get("created_at"),
            disabled_at: row.get("disabled_at"),
        };
        let users = rows.iter().map(user).collect();
        tenant.commit().await?;
        Ok(users)
    }

    /// Gives somebody these roles and no others.
    pub async fn set_roles(
        &self,
        scope: &Scope,
        email: &str,
        roles: &[String],
    ) -> Result<(), AccessError> {
        check_roles(roles)?;
        let (tenant, id) = self.user(scope, email).await?;
        let before: Vec<String> = tenant
            .query(include_str!("../queries/remove_roles.sql"), &[&id])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        give_roles(&tenant, id, roles).await?;
        let (before, after) = (json!({"roles": before}), json!({"roles": roles}));
        self.note(
            &tenant,
            "access.set_roles",
            &subject(id),
            Some(before),
            Some(after),
        )
        .await?;
        tenant.commit().await?;
        self.seen.forget();
        Ok(())
    }

    /// Gives somebody another password, and ends their sessions.
    pub async fn set_password(
        &self,
        scope: &Scope,
        email: &str,
        password: &str,
    ) -> Result<(), AccessError> {
        let hash = self.passwords.hash(password).await?;
        let (tenant, id) = self.user(scope, email).await?;
        tenant
            .execute(include_str!("../queries/set_password.sql"), &[&id, &hash])
            .await?;
        self.end_sessions(tenant, id, "password", "access.set_password")
            .await
    }

    /// Has somebody give one-time codes from now on. Returns what an authenticator reads: an `otpauth` URL. Needs a key
    /// ring, for the secret is kept sealed only.
    pub async fn require_codes(&self, scope: &Scope, email: &str) -> Result<String, AccessError> {
        let ring = self.ring.as_ref().ok_or(AccessError::NoRing)?;
        let secret = secret::random::<20>()?;
        let (tenant, id) = self.user(scope, email).await?;
        let sealed = ring.seal(CODE, id.into(), &vault::Secret::new(secret))?;
        tenant
            .execute(
                include_str!("../queries/set_code_secret.sql"),
                &[&id, &sealed],
            )
            .await?;
        self.note(&tenant, "access.require_codes", &subject(id), None, None)
            .await?;
        tenant.commit().await?;
        let email = normal(email)?;
        let base32 = Secret::from(secret.to_vec()).to_base32();
        Ok(format!(
            "otpauth://totp/Patio:{email}?secret={base32}&issuer=Patio&algorithm=SHA1&digits=6&period=30"
        ))
    }

    /// Seals the secrets of one-time codes that an older program kept as they were; returns how many. Running it again
    /// changes nothing.
    pub async fn seal_codes(&self, ring: &Ring) -> Result<u64, AccessError> {
        let client = self.db.system().await?;
        let mut sealed = 0;
        loop {
            let rows = client
                .query(include_str!("../queries/open_codes.sql"), &[])
                .await?;
            for row in &rows {
                let (id, secret): (i32, &[u8]) = (row.get(0), row.get(1));
                let closed = ring.seal(CODE, id.into(), &vault::Secret::new(secret))?;
                // Another process may have been quicker, or the user may have a new secret.
                sealed += client
                    .execute(
                        include_str!("../queries/seal_code.sql"),
                        &[&id, &secret, &closed],
                    )
                    .await?;
            }
            if rows.is_empty() {
                return Ok(sealed);
            }
        }
    }

    /// Somebody may not sign in any more, and is signed out.
    pub async fn disable_user(&self, scope: &Scope, email: &str) -> Result<(), AccessError> {
        let (tenant, id) = self.user(scope, email).await?;
        tenant
            .execute(
                include_str!("../queries/disable_user.sql"),
                &[&id, &self.clock.now()],
            )
            .await?;
        self.end_sessions(tenant, id, "disabled", "access.disable_user")
            .await
    }

    async fn end_sessions(
        &self,
        tenant: Tenant,
        id: i32,
        because: &str,
        action: &str,
    ) -> Result<(), AccessError> {
        tenant
            .execute(
                include_str!("../queries/end_sessions.sql"),
                &[&id, &self.clock.now(), &because],
            )
            .await?;
        self.note(&tenant, action, &subject(id), None, None).await?;
        tenant.commit().await?;
        self.seen.forget();
        Ok(())
    }

    async fn user(&self, scope: &Scope, email: &str) -> Result<(Tenant, i32), AccessError> {
        let email = normal(email)?;
        let tenant = self.db.tenant(scope).await?;
        let found = tenant
            .query_opt(include_str!("../queries/find_user.sql"), &[&email])
            .await?;
        match found {
            Some(row) => Ok((tenant, row.get(0))),
            None => Err(AccessError::Missing {
                what: "user",
                name: email,
            }),
        }
    }
}

fn subject(id: i32) -> String {
    format!("user:{id}")
}

async fn give_roles(tenant: &Tenant, id: i32, roles: &[String]) -> Result<(), AccessError> {
    for role in roles {
        tenant
            .execute(
                include_str!("../queries/add_role.sql"),
                &[&id, role, &tenant.scope().organization],
            )
            .await?;
    }
    Ok(())
}
