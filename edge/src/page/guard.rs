//! Who may come in. An attempt is counted before the PIN is looked at; after five wrong ones nobody is asked for a while, each
//! time for longer. Who is in stays in.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// Milliseconds of a clock that never goes back.
type Millis = i64;

/// How many digits a PIN has.
const DIGITS: std::ops::RangeInclusive<usize> = 6..=12;
/// Wrong PINs in a row before nobody is asked any more.
const WRONG: u32 = 5;
/// For how long, the first time and at most.
const LOCKED: (Millis, Millis) = (60_000, 3_600_000);
/// How long a session lasts: a night.
pub(super) const SESSION: Millis = 12 * 3_600_000;
/// Sessions at a time; the oldest one ends for a new one.
const SESSIONS: usize = 16;

/// What is no PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPin {
    /// Too short, too long, or no digits.
    #[error("expected a PIN of {} to {} digits, found something else", DIGITS.start(), DIGITS.end())]
    Digits,
    /// It would be the first that anybody tries.
    #[error("expected a PIN that is not one digit again and again, nor digits in their order")]
    Simple,
    /// It cannot be hashed.
    #[error("the PIN cannot be hashed: {0}")]
    Hash(String),
}

/// The hash of a PIN, for the configuration.
///
/// # Errors
/// When it is none, or one that anybody would guess.
pub fn hash(pin: &str) -> Result<String, BadPin> {
    let digits = pin.as_bytes();
    if !DIGITS.contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadPin::Digits);
    }
    let step = |by: i16| {
        digits
            .windows(2)
            .all(|pair| i16::from(pair[1]) - i16::from(pair[0]) == by)
    };
    if [-1, 0, 1].into_iter().any(step) {
        return Err(BadPin::Simple);
    }
    let failed = |error: &dyn std::fmt::Display| BadPin::Hash(error.to_string());
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| failed(&error))?;
    let hash: Result<PasswordHash, _> = Argon2::default().hash_password_with_salt(digits, &salt);
    hash.map(|hash| hash.to_string())
        .map_err(|error| failed(&error))
}

/// Why somebody does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// The PIN is another one.
    Wrong,
    /// Nobody is asked for so many seconds.
    Locked(i64),
    /// It cannot be looked at now.
    Failed,
}

/// Somebody who is in.
#[derive(Clone, Debug)]
struct Session {
    until: Millis,
    /// What has to be shown with whatever changes something.
    key: String,
    /// What is to be said once.
    said: Option<(bool, String)>,
}

#[derive(Debug, Default)]
struct State {
    wrong: u32,
    locked_until: Millis,
    locked_for: Millis,
    sessions: HashMap<[u8; 32], Session>,
}

impl State {
    /// Counts an attempt, if there may be one.
    fn attempt(&mut self, now: Millis) -> Result<(), Out> {
        if now < self.locked_until {
            return Err(Out::Locked((self.locked_until - now + 999) / 1000));
        }
        self.wrong += 1;
        if self.wrong >= WRONG {
            self.locked_for = (self.locked_for * 2).clamp(LOCKED.0, LOCKED.1);
            self.locked_until = now + self.locked_for;
            self.wrong = 0;
        }
        Ok(())
    }

    /// The PIN was the right one.
    fn forgive(&mut self) {
        (self.wrong, self.locked_until, self.locked_for) = (0, 0, 0);
    }

    fn enter(&mut self, digest: [u8; 32], key: String, now: Millis) {
        self.sessions.retain(|_, session| session.until > now);
        if self.sessions.len() >= SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, one)| one.until);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                self.sessions.remove(&oldest);
            }
        }
        let session = Session {
            until: now + SESSION,
            key,
            said: None,
        };
        self.sessions.insert(digest, session);
    }
}

/// Lets people in.
#[derive(Debug)]
pub(super) struct Guard {
    hash: String,
    state: Mutex<State>,
    /// One PIN is looked at at a time: each takes 19 MiB.
    turn: Semaphore,
}

fn random() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Guard {
    pub(super) fn new(hash: String) -> Self {
        Self {
            hash,
            state: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token of a new session for who has the PIN.
    pub(super) async fn enter(&self, pin: &str, now: Millis) -> Result<String, Out> {
        let _turn = self.turn.acquire().await;
        self.state().attempt(now)?;
        let (hash, pin) = (self.hash.clone(), pin.to_owned());
        let right = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash).ok()?;
            let pin = pin.trim().as_bytes();
            Some(Argon2::default().verify_password(pin, &hash).is_ok())
        });
        match right.await {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return Err(Out::Wrong),
            Ok(None) | Err(_) => return Err(Out::Failed),
        }
        let (token, key) = random().zip(random()).ok_or(Out::Failed)?;
        let mut state = self.state();
        state.forgive();
        state.enter(digest(&token), key, now);
        Ok(token)
    }

    /// The key of the session of this token, if there is one.
    pub(super) fn key(&self, token: &str, now: Millis) -> Option<String> {
        let state = self.state();
        let session = state.sessions.get(&digest(token))?;
        (session.until > now).then(|| session.key.clone())
    }

    /// Says something once to who is in: whether it is good news, and what.
    pub(super) fn say(&self, token: &str, good: bool, what: String) {
        if let Some(session) = self.state().sessions.get_mut(&digest(token)) {
            session.said = Some((good, what));
        }
    }

    /// What was said.
    pub(super) fn said(&self, token: &str) -> Option<(bool, String)> {
        self.state().sessions.get_mut(&digest(token))?.said.take()
    }

    /// The session is over.
    pub(super) fn leave(&self, token: &str) {
        self.state().sessions.remove(&digest(token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_the_pin_comes_in_for_a_night() {
        let guard = Guard::new(hash("493021").unwrap());
        assert_eq!(guard.enter("493022", 0).await, Err(Out::Wrong));
        let token = guard.enter(" 493021 ", 0).await.unwrap();
        let key = guard.key(&token, SESSION - 1).unwrap();
        assert_ne!(key, token);
        assert_eq!(guard.key(&token, SESSION), None);
        assert_eq!(guard.key("", 0), None);
        guard.say(&token, true, "yes".into());
        assert_eq!(guard.said(&token), Some((true, "yes".into())));
        assert_eq!(guard.said(&token), None);
        guard.leave(&token);
        assert_eq!(guard.key(&token, 0), None);
    }

    #[test]
    fn after_five_wrong_ones_nobody_is_asked_for_longer_and_longer() {
        let mut state = State::default();
        let mut now = 0;
        for (round, locked) in [60, 120, 240, 480, 960, 1920, 3600, 3600]
            .into_iter()
            .enumerate()
        {
            for attempt in 0..WRONG {
                assert_eq!(state.attempt(now), Ok(()), "{round} {attempt}");
            }
            assert_eq!(state.attempt(now), Err(Out::Locked(locked)), "{round}");
            now += locked * 1000;
        }
        // The right one, at last.
        assert_eq!(state.attempt(now), Ok(()));
        state.forgive();
        for _ in 0..WRONG {
            assert_eq!(state.attempt(now), Ok(()));
        }
        assert_eq!(state.attempt(now), Err(Out::Locked(60)));
    }

    #[test]
    fn sessions_are_bounded() {
        let mut state = State::default();
        for number in 0..100_u8 {
            state.enter([number; 32], String::new(), Millis::from(number));
        }
        assert_eq!(state.sessions.len(), SESSIONS);
        assert!(state.sessions.contains_key(&[99; 32]) && !state.sessions.contains_key(&[0; 32]));
    }

    #[test]
    fn what_anybody_would_guess_is_no_pin() {
        for (pin, found) in [
            ("12345", BadPin::Digits),
            ("12a456", BadPin::Digits),
            ("1234567890123", BadPin::Digits),
            ("000000", BadPin::Simple),
            ("123456", BadPin::Simple),
            ("987654", BadPin::Simple),
        ] {
            assert_eq!(hash(pin), Err(found), "{pin}");
        }
    }
}
