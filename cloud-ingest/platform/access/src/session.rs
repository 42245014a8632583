//! Sessions: what a sign-in began, the family of its tokens.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use platform::OrganizationId;
use serde::Serialize;
use tokio_postgres::Transaction;
use utoipa::ToSchema;

use crate::{
    Access, AccessError,
    secret::{self, ACCESS, PAGE, REFRESH, hash},
    sign_in::{Kind, SignedIn},
};

/// How long pages stay signed in.
pub const PAGE_LIFE: Duration = Duration::from_hours(12);
/// How long an access token is good.
pub const ACCESS_LIFE: Duration = Duration::from_mins(10);
/// How long a program may go on refreshing before its user has to sign in again.
pub const PROGRAM_LIFE: Duration = Duration::from_hours(30 * 24);

/// Tokens of a program.
#[derive(Clone, Serialize, ToSchema)]
pub struct Tokens {
    /// Goes into `Authorization: Bearer`.
    pub access_token: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Gets the next pair, once.
    pub refresh_token: String,
}

/// A session of pages.
#[derive(Clone)]
pub struct Page {
    /// The cookie's value.
    pub cookie: String,
    /// What a page has to send in `x-csrf-token` with what it changes.
    pub csrf: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl Access {
    pub(crate) async fn begin_session(
        &self,
        organization: OrganizationId,
        user: i32,
        kind: Kind,
    ) -> Result<SignedIn, AccessError> {
        let now = self.clock.now();
        let life = match kind {
            Kind::Page => PAGE_LIFE,
            Kind::Program => PROGRAM_LIFE,
        };
        let expires_at = later(now, life);
        let mut client = self.db.system().await?;
        let tx = client.transaction().await?;
        let session: i64 = tx
            .query_one(
                include_str!("../queries/add_session.sql"),
                &[&organization, &user, &now, &expires_at],
            )
            .await?
            .get(0);
        let begun = match kind {
            Kind::Page => {
                let cookie = add_token(&tx, session, organization, PAGE, expires_at).await?;
                let csrf = secret::csrf(&cookie);
                SignedIn::Page(Page {
                    cookie,
                    csrf,
                    expires_at,
                })
            }
            Kind::Program => {
                SignedIn::Program(add_pair(&tx, session, organization, now, expires_at).await?)
            }
        };
        tx.commit().await?;
        Ok(begun)
    }

    /// The next pair of tokens. A refresh token is good once: when it comes again, somebody has stolen it or its
    /// successor, and the whole family ends.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, AccessError> {
        let now = self.clock.now();
        let hash = hash(token);
        let mut client = self.db.system().await?;
        let tx = client.transaction().await?;
        let row = tx
            .query_opt(
                include_str!("../queries/lock_refresh.sql"),
                &[&hash.as_slice(), &now],
            )
            .await?
            .ok_or(AccessError::Refused)?;
        let session: i64 = row.get("session_id");
        if row.get("used") {
            tx.execute(
                include_str!("../queries/end_session.sql"),
                &[&session, &now, &"reuse"],
            )
            .await?;
            tx.commit().await?;
            self.seen.forget();
            return Err(AccessError::Reused);
        }
        if !row.get::<_, bool>("good") {
            return Err(AccessError::Refused);
        }
        tx.execute(
            include_str!("../queries/use_refresh.sql"),
            &[&hash.as_slice(), &now],
        )
        .await?;
        let (organization, expires_at) = (row.get("organization_id"), row.get("expires_at"));
        let pair = add_pair(&tx, session, organization, now, expires_at).await?;
        tx.commit().await?;
        Ok(pair)
    }

    /// Ends a session.
    pub async fn sign_out(&self, session: i64) -> Result<(), AccessError> {
        let client = self.db.system().await?;
        client
            .execute(
                include_str!("../queries/end_session.sql"),
                &[&session, &self.clock.now(), &"signed out"],
            )
            .await?;
        self.seen.forget();
        Ok(())
    }
}

async fn add_pair(
    tx: &Transaction<'_>,
    session: i64,
    organization: OrganizationId,
    now: Timestamp,
    session_expires: Timestamp,
) -> Result<Tokens, AccessError> {
    let expires_at = later(now, ACCESS_LIFE).min(session_expires);
    let access_token = add_token(tx, session, organization, ACCESS, expires_at).await?;
    let refresh_token = add_token(tx, session, organization, REFRESH, session_expires).await?;
    Ok(Tokens {
        access_token,
        expires_at,
        refresh_token,
    })
}

async fn add_token(
    tx: &Transaction<'_>,
    session: i64,
    organization: OrganizationId,
    sort: &str,
    expires_at: Timestamp,
) -> Result<String, AccessError> {
    let token = secret::fresh(sort)?;
    let word = sort.trim_start_matches("patio_").trim_end_matches('_');
    tx.execute(
        include_str!("../queries/add_token.sql"),
        &[
            &hash(&token).as_slice(),
            &session,
            &organization,
            &word,
            &expires_at,
        ],
    )
    .await?;
    Ok(token)
}

pub(crate) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
