//! Secrets in tables: an envelope per value.
//!
//! Each value is encrypted with a data key of its own (AES-256-GCM), and that key with a key-encryption key of the ring,
//! by its number. Both seals are bound to the place (table, column, row): a value that is copied to another row does not
//! open there. Changing the key-encryption key rewraps data keys and touches no value.
//!
//! ```text
//! 1 byte  format, 1
//! 4 bytes number of the key-encryption key, big-endian
//! 12 + 32 + 16 bytes  nonce, data key, tag
//! 12 + n + 16 bytes   nonce, value, tag
//! ```

use std::{collections::BTreeMap, fmt};

use aes_gcm::{
    Aes256Gcm, Key, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::secret::Secret;

const FORMAT: u8 = 1;
const NONCE: usize = 12;
const KEY: usize = 32;
const TAG: usize = 16;
const WRAPPED: usize = NONCE + KEY + TAG;
const HEAD: usize = 1 + 4 + WRAPPED;

/// A column that holds sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The table with its schema: `events.endpoint`.
    pub table: &'static str,
    /// The column, of type `bytea`.
    pub column: &'static str,
    /// The column that names the row, a whole number.
    pub row: &'static str,
}

impl Column {
    fn aad(self, row: i64) -> Vec<u8> {
        format!("{}\0{}\0{}\0{row}", self.table, self.column, self.row).into_bytes()
    }
}

/// Why a value does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The key ring cannot be read.
    #[error(
        "line {line} of the key ring: {reason}; write a number and 32 bytes in Base64, such as `openssl rand -base64 32` prints, with a space between"
    )]
    Ring {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is no key in the ring.
    #[error("the key ring is empty: without a key no secret can be kept")]
    NoKey,
    /// The key is not in the ring.
    #[error(
        "key {0} is not in the key ring: put it back, and take it out when nothing needs it any more"
    )]
    UnknownKey(u32),
    /// It is not what was sealed, or not where it was sealed.
    #[error(
        "the sealed value of {table}.{column}, row {row} does not open: it was changed, or belongs elsewhere"
    )]
    Broken {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        row: i64,
    },
    /// The machine gives no random numbers.
    #[error("the system gives no random bytes")]
    Random,
}

/// The key-encryption keys by their numbers. The last of the text is the one that seals.
#[derive(Clone)]
pub struct Ring {
    keys: BTreeMap<u32, Secret>,
    active: u32,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u32> = self.keys.keys().copied().collect();
        write!(f, "Ring({numbers:?}, {} seals)", self.active)
    }
}

impl Ring {
    /// Reads a ring: one key a line, its number and Base64 of 32 bytes; `#` begins a comment; the last one seals.
    pub fn read(text: &str) -> Result<Self, VaultError> {
        let mut keys = BTreeMap::new();
        let mut active = None;
        for (at, line) in text.lines().enumerate() {
            let wrong = |reason| VaultError::Ring {
                line: at + 1,
                reason,
            };
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (number, key) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong("no space"))?;
            let number: u32 = number.parse().map_err(|_| wrong("the number is none"))?;
            let key = BASE64_STANDARD
                .decode(key.trim())
                .map_err(|_| wrong("the key is not Base64"))?;
            if key.len() != KEY {
                return Err(wrong("the key does not have 32 bytes"));
            }
            if keys.insert(number, Secret::new(key)).is_some() {
                return Err(wrong("the number comes twice"));
            }
            active = Some(number);
        }
        let active = active.ok_or(VaultError::NoKey)?;
        Ok(Self { keys, active })
    }

    /// A line for a ring, with a new key.
    pub fn new_line(number: u32) -> Result<String, VaultError> {
        let key = Secret::random(KEY).map_err(|_| VaultError::Random)?;
        Ok(format!("{number} {}", BASE64_STANDARD.encode(key.reveal())))
    }

    /// The number of the key that seals.
    pub const fn active(&self) -> u32 {
        self.active
    }

    /// Seals a value for its place.
    pub fn seal(&self, place: Column, row: i64, secret: &Secret) -> Result<Vec<u8>, VaultError> {
        let data_key = Secret::random(KEY).map_err(|_| VaultError::Random)?;
        let aad = place.aad(row);
        let mut sealed = vec![FORMAT];
        sealed.extend(self.active.to_be_bytes());
        sealed.extend(encrypt(&self.keys[&self.active], &aad, data_key.reveal())?);
        sealed.extend(encrypt(&data_key, &aad, secret.reveal())?);
        Ok(sealed)
    }

    /// Opens a value in its place.
    pub fn open(&self, place: Column, row: i64, sealed: &[u8]) -> Result<Secret, VaultError> {
        let (_, data_key) = self.unwrap(place, row, sealed)?;
        decrypt(&data_key, &place.aad(row), &sealed[HEAD..]).ok_or_else(|| broken(place, row))
    }

    /// The value under the key that seals now; `None` when it is already.
    pub fn rewrap(
        &self,
        place: Column,
        row: i64,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, VaultError> {
        let (number, data_key) = self.unwrap(place, row, sealed)?;
        if number == self.active {
            return Ok(None);
        }
        let mut again = vec![FORMAT];
        again.extend(self.active.to_be_bytes());
        again.extend(encrypt(
            &self.keys[&self.active],
            &place.aad(row),
            data_key.reveal(),
        )?);
        again.extend_from_slice(&sealed[HEAD..]);
        Ok(Some(again))
    }

    fn unwrap(&self, place: Column, row: i64, sealed: &[u8]) -> Result<(u32, Secret), VaultError> {
        let broken = || broken(place, row);
        let Some((&[FORMAT, a, b, c, d], rest)) = sealed.split_first_chunk::<5>() else {
            return Err(broken());
        };
        let number = u32::from_be_bytes([a, b, c, d]);
        let wrapped = rest.get(..WRAPPED).ok_or_else(broken)?;
        let key = self
            .keys
            .get(&number)
            .ok_or(VaultError::UnknownKey(number))?;
        let data_key = decrypt(key, &place.aad(row), wrapped).ok_or_else(broken)?;
        Ok((number, data_key))
    }
}

fn broken(place: Column, row: i64) -> VaultError {
    VaultError::Broken {
        table: place.table,
        column: place.column,
        row,
    }
}

fn cipher(key: &Secret) -> Option<Aes256Gcm> {
    let key: &Key<Aes256Gcm> = key.reveal().try_into().ok()?;
    Some(Aes256Gcm::new(key))
}

/// Nonce, ciphertext, tag. Nonces are random: a key-encryption key wraps far fewer than 2^32 data keys (NIST SP 800-38D,
/// 8.3), and a data key seals one value.
fn encrypt(key: &Secret, aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| VaultError::Random)?;
    let cipher = cipher(key).expect("keys have 32 bytes");
    let sealed = cipher
        .encrypt(&Nonce::from(nonce), Payload { msg, aad })
        .expect("a value is far shorter than 64 GiB");
    Ok([&nonce[..], &sealed].concat())
}

fn decrypt(key: &Secret, aad: &[u8], sealed: &[u8]) -> Option<Secret> {
    let (nonce, msg) = sealed.split_first_chunk::<NONCE>()?;
    let plain = cipher(key)?.decrypt(&Nonce::from(*nonce), Payload { msg, aad });
    plain.ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Column = Column {
        table: "events.endpoint",
        column: "secret",
        row: "id",
    };

    fn ring(numbers: &[u8]) -> Ring {
        let lines: Vec<String> = numbers
            .iter()
            .map(|n| format!("{n} {} # {n}", BASE64_STANDARD.encode([*n; 32])))
            .collect();
        Ring::read(&lines.join("\n")).unwrap()
    }

    #[test]
    fn a_value_opens_in_its_place_only() {
        let ring = ring(&[1, 2]);
        let secret = Secret::new("whsec");
        let sealed = ring.seal(PLACE, 7, &secret).unwrap();
        assert_eq!(ring.open(PLACE, 7, &sealed).unwrap(), secret);
        assert_ne!(
            sealed,
            ring.seal(PLACE, 7, &secret).unwrap(),
            "no two are alike"
        );
        let elsewhere = [
            Column {
                table: "other.table",
                ..PLACE
            },
            Column {
                column: "old_secret",
                ..PLACE
            },
        ];
        assert!(ring.open(PLACE, 8, &sealed).is_err());
        for place in elsewhere {
            assert!(ring.open(place, 7, &sealed).is_err(), "{place:?}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ring.open(PLACE, 7, &changed).is_err(), "byte {at}");
            assert!(ring.open(PLACE, 7, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn keys_change_without_touching_values() {
        let (old, both, new) = (ring(&[1]), ring(&[1, 2]), ring(&[2]));
        let secret = Secret::new("s");
        let sealed = old.seal(PLACE, 1, &secret).unwrap();
        assert_eq!(new.open(PLACE, 1, &sealed), Err(VaultError::UnknownKey(1)));
        let again = both.rewrap(PLACE, 1, &sealed).unwrap().unwrap();
        assert_eq!(both.rewrap(PLACE, 1, &again).unwrap(), None);
        assert_eq!(new.open(PLACE, 1, &again).unwrap(), secret);
        assert_eq!(sealed[HEAD..], again[HEAD..]);
        assert!(old.open(PLACE, 1, &again).is_err());
    }

    #[test]
    fn nothing_shows_a_secret() {
        let secret = Secret::new("hunter2");
        let ring = ring(&[104]);
        let shown = format!("{secret:?} {secret} {ring:?} {:?}", Some(&secret));
        assert_eq!(
            shown,
            "Secret(7 bytes) (secret) Ring([104], 104 seals) Some(Secret(7 bytes))"
        );
        let line = Ring::new_line(9).unwrap();
        assert_eq!(Ring::read(&line).unwrap().active(), 9);
    }

    #[test]
    fn a_ring_that_is_none_says_where() {
        let good = BASE64_STANDARD.encode([0; 32]);
        for (text, says) in [
            (String::new(), "empty"),
            ("# nothing".to_owned(), "empty"),
            ("x".to_owned(), "line 1"),
            (format!("1 {good}\none {good}"), "line 2"),
            (format!("1 {good}\n1 {good}"), "twice"),
            ("1 AAAA".to_owned(), "32 bytes"),
            ("1 !!!!".to_owned(), "Base64"),
        ] {
            let error = Ring::read(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains(&good));
        }
    }
}
