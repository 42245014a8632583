//! Secrets that programs show: 256 random bits each, of which only the SHA-256 is kept. They cannot be guessed, so a
//! fast hash without salt is enough, and finds them.

use sha2::{Digest as _, Sha256};

use crate::AccessError;

/// Before an API key's own part.
pub(crate) const KEY: &str = "patio_key_";
/// Before an access token's own part.
pub(crate) const ACCESS: &str = "patio_access_";
/// Before a refresh token's own part.
pub(crate) const REFRESH: &str = "patio_refresh_";
/// Before a page session's own part.
pub(crate) const PAGE: &str = "patio_page_";

/// What is kept of a secret.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| AccessError::Randomness(error.to_string()))?;
    Ok(bytes)
}

/// A new secret of this sort.
pub(crate) fn fresh(sort: &str) -> Result<String, AccessError> {
    Ok(format!("{sort}{}", hex::encode(random::<32>()?)))
}

/// The value that a page has to send with what it changes: it follows from its cookie, which no other site can read.
pub(crate) fn csrf(page: &str) -> String {
    hex::encode(hash(&format!("csrf {page}")))
}

/// A password for somebody who has to change it: 100 bits.
pub fn password() -> Result<String, AccessError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = random::<20>()?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    Ok(bytes.iter().map(letter).collect())
}
