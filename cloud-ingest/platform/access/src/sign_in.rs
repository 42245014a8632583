//! From a password to a session.

use platform::{OrganizationId, Scope};
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use vault::Secret;

use crate::{
    Access, AccessError,
    lockout::{Attempts, attempt},
    session::{Page, Tokens},
    users::{CODE, codes, normal},
};

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pages in a browser: a cookie.
    Page,
    /// A program: a short-lived access token, and a refresh token for the next.
    Program,
}

/// A session that has begun.
#[derive(Clone, Debug)]
pub enum SignedIn {
    /// For pages.
    Page(Page),
    /// For a program.
    Program(Tokens),
}

impl Access {
    /// Signs somebody in. The attempt is counted before the password is looked at, so that many at a time are no way
    /// round the count.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        code: Option<&str>,
        kind: Kind,
    ) -> Result<SignedIn, AccessError> {
        // An address that cannot be one is nobody's.
        let email = normal(email).unwrap_or_default();
        let account: [u8; 32] = Sha256::digest(email.as_bytes()).into();
        let may = self.count_attempt(&account).await?;
        let user = self
            .db
            .system()
            .await?
            .query_opt(include_str!("../queries/credentials.sql"), &[&email])
            .await?;
        let hash: Option<&str> = user.as_ref().map(|row| row.get("password_hash"));
        let right = self.passwords.check(password, hash).await?;
        let user = user
            .filter(|row| may && right && !row.get::<_, bool>("disabled"))
            .ok_or(AccessError::Refused)?;
        self.check_code(&user, code).await?;
        let client = self.db.system().await?;
        let forgive = include_str!("../queries/forgive.sql");
        client.execute(forgive, &[&account.as_slice()]).await?;
        drop(client);
        let organization: OrganizationId = user.get("organization_id");
        self.begin_session(organization, user.get("id"), kind).await
    }

    /// Somebody gives themselves another password, by the one that they have; wrong ones count as attempts to sign in do.
    /// Their sessions end, this one included.
    pub async fn change_password(
        &self,
        scope: &Scope,
        user: i32,
        old: &str,
        new: &str,
    ) -> Result<(), AccessError> {
        let sql = include_str!("../queries/own_credentials.sql");
        let client = self.db.system().await?;
        let row = client.query_opt(sql, &[&user, &scope.organization]).await?;
        drop(client);
        let row = row.ok_or(AccessError::Refused)?;
        let (email, hash): (&str, &str) = (row.get(0), row.get(1));
        let account: [u8; 32] = Sha256::digest(email.as_bytes()).into();
        let may = self.count_attempt(&account).await?;
        if !(self.passwords.check(old, Some(hash)).await? && may) {
            return Err(AccessError::Refused);
        }
        self.set_password(scope, email, new).await?;
        let client = self.db.system().await?;
        let forgive = include_str!("../queries/forgive.sql");
        client.execute(forgive, &[&account.as_slice()]).await?;
        Ok(())
    }

    async fn count_attempt(&self, account: &[u8; 32]) -> Result<bool, AccessError> {
        let now = self.clock.now();
        let account = account.as_slice();
        let mut client = self.db.system().await?;
        let tx = client.transaction().await?;
        tx.execute(
            include_str!("../queries/ensure_attempt.sql"),
            &[&account, &now],
        )
        .await?;
        let row = tx
            .query_one(include_str!("../queries/lock_attempt.sql"), &[&account])
            .await?;
        let before = Attempts {
            failures: row.get("failures"),
            last_at: row.get("last_at"),
            locked_until: row.get("locked_until"),
        };
        let (may, after) = attempt(before, now);
        tx.execute(
            include_str!("../queries/count_attempt.sql"),
            &[
                &account,
                &after.failures,
                &after.last_at,
                &after.locked_until,
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(may)
    }

    async fn check_code(&self, user: &Row, code: Option<&str>) -> Result<(), AccessError> {
        let id: i32 = user.get("id");
        let sealed: Option<&[u8]> = user.get("code_sealed");
        let open: Option<&[u8]> = user.get("code_secret");
        let secret = match (sealed, open) {
            (Some(sealed), _) => {
                let ring = self.ring.as_ref().ok_or(AccessError::NoRing)?;
                ring.open(CODE, id.into(), sealed)?
            }
            (None, Some(open)) => Secret::new(open),
            (None, None) => return Ok(()),
        };
        let code = code.ok_or(AccessError::CodeNeeded)?;
        let now = u64::try_from(self.clock.now().as_second()).unwrap_or(0);
        let step = codes(secret.reveal())
            .check(code, now)
            .ok_or(AccessError::Refused)?;
        let taken = self
            .db
            .system()
            .await?
            .execute(
                include_str!("../queries/take_code.sql"),
                &[&id, &step.cast_signed()],
            )
            .await?;
        if taken == 1 {
            Ok(())
        } else {
            Err(AccessError::Refused)
        }
    }
}
