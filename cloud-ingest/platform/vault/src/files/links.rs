//! Links to files that work without signing in, until they expire.
//!
//! A token names the organisation, the file and the second at which it ends, and is authenticated with HMAC-SHA256. It is
//! checked in constant time; what it says is believed only then.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use platform::OrganizationId;
use sha2::Sha256;

use crate::secret::Secret;

const CONTENT: usize = 4 + 8 + 8;
const PURPOSE: &[u8] = b"patio file link 1";

/// Why a link is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It was not made here, or was changed.
    #[error("the link is not one that was given out")]
    Forged,
    /// Its time is over.
    #[error("the link has expired: ask for a new one")]
    Expired,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose file it is.
    pub organization: OrganizationId,
    /// Number of the file.
    pub file: i64,
}

/// Makes links and follows them. The key is a secret of the installation; a new one ends all links.
#[derive(Clone, Debug)]
pub struct Links(Secret);

impl Links {
    /// With this key, of 32 bytes or more.
    pub const fn new(key: Secret) -> Self {
        Self(key)
    }

    /// The token of a link that ends at this time.
    pub fn make(&self, target: Target, until: Timestamp) -> String {
        let mut token = Vec::with_capacity(CONTENT + 32);
        token.extend(target.organization.0.to_be_bytes());
        token.extend(target.file.to_be_bytes());
        token.extend(until.as_second().to_be_bytes());
        let tag = self.mac(&token).finalize().into_bytes();
        token.extend(tag);
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    /// What a token leads to at this time.
    pub fn follow(&self, token: &str, now: Timestamp) -> Result<Target, LinkError> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| LinkError::Forged)?;
        let (content, tag) = bytes
            .split_first_chunk::<CONTENT>()
            .ok_or(LinkError::Forged)?;
        self.mac(content)
            .verify_slice(tag)
            .map_err(|_| LinkError::Forged)?;
        let [o1, o2, o3, o4, rest @ ..] = *content;
        let (file, until) = rest.split_at(8);
        let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap_or_default());
        if number(until) <= now.as_second() {
            return Err(LinkError::Expired);
        }
        Ok(Target {
            organization: OrganizationId(i32::from_be_bytes([o1, o2, o3, o4])),
            file: number(file),
        })
    }

    fn mac(&self, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.reveal())
            .expect("HMAC takes keys of every length");
        mac.update(PURPOSE);
        mac.update(content);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_there_until_it_ends_and_cannot_be_changed() {
        let links = Links::new(Secret::new([7; 32]));
        let target = Target {
            organization: OrganizationId(3),
            file: 99,
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let token = links.make(target, at(1000));
        assert_eq!(links.follow(&token, at(999)), Ok(target));
        assert_eq!(links.follow(&token, at(1000)), Err(LinkError::Expired));
        let other = Links::new(Secret::new([8; 32]));
        assert_eq!(other.follow(&token, at(0)), Err(LinkError::Forged));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at_byte in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at_byte] ^= 1;
            let changed = BASE64_URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(
                links.follow(&changed, at(0)),
                Err(LinkError::Forged),
                "{at_byte}"
            );
        }
        for none in ["", "x", "AAAA", &token[1..]] {
            assert_eq!(links.follow(none, at(0)), Err(LinkError::Forged));
        }
    }
}
