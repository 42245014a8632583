//! Passwords: argon2id with OWASP's parameters (19 MiB, 2 passes), a few at a time, off the threads that answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use tokio::sync::Semaphore;

use crate::{AccessError, secret::random};

/// Shortest and longest password, in characters.
pub const LENGTH: std::ops::RangeInclusive<usize> = 12..=128;
/// How many are checked at a time: each takes 19 MiB and some 20 ms.
const AT_A_TIME: usize = 4;
/// The hash of a password that nobody has, with the parameters of all others: what is checked for nobody.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IG5vYm9keQ$Zz1Tn5Ym3Z0h0v8lQ5a8VQm0J0v4Yg2r1c0Wm3k5u7Q";

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    checked: Arc<AtomicU64>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            checked: Arc::default(),
        }
    }

    pub(crate) fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, AccessError> {
        if !LENGTH.contains(&password.chars().count()) {
            let rule = format!("{} to {} characters long", LENGTH.start(), LENGTH.end());
            return Err(AccessError::Bad {
                field: "password",
                rule,
            });
        }
        let salt = random::<16>()?;
        let password = password.to_owned();
        self.work(move || {
            Argon2::default()
                .hash_password_with_salt(password.as_bytes(), &salt)
                .map(|hash: PasswordHash| hash.to_string())
                .map_err(|error| AccessError::Randomness(error.to_string()))
        })
        .await?
    }

    /// Whether the password is the one of this hash; without a hash it is not, after the same work.
    pub(crate) async fn check(
        &self,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, AccessError> {
        self.checked.fetch_add(1, Ordering::Relaxed);
        let somebody = hash.is_some();
        let hash = hash.unwrap_or(NOBODY).to_owned();
        // What is longer than any password is not hashed in full, but nobody is told so.
        let password: String = password.chars().take(*LENGTH.end() + 1).collect();
        let same = self
            .work(move || {
                PasswordHash::new(&hash).is_ok_and(|hash| {
                    Argon2::default()
                        .verify_password(password.as_bytes(), &hash)
                        .is_ok()
                })
            })
            .await?;
        Ok(same && somebody)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccessError> {
        let _place = self.places.acquire().await;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| AccessError::Randomness(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse battery").await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let right = |text: &'static str| {
            let (passwords, hash) = (passwords.clone(), hash.clone());
            async move { passwords.check(text, Some(&hash)).await.unwrap() }
        };
        assert!(right("correct horse battery").await);
        assert!(!right("correct horse batterz").await);
        assert!(
            !passwords
                .check("correct horse battery", None)
                .await
                .unwrap()
        );
        assert_eq!(passwords.checked(), 3);
        let short = passwords.hash("short").await.unwrap_err();
        assert!(short.to_string().contains("12 to 128"), "{short}");
        // What is checked for nobody costs what everybody's costs.
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let theirs = PasswordHash::new(&hash).unwrap();
        assert_eq!(nobody.algorithm, theirs.algorithm);
        assert_eq!(nobody.params.to_string(), theirs.params.to_string());
    }
}
