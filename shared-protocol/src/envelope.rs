//! The one frame in which everything travels: kind, version, body, checksum, Ed25519 signature.
//!
//! ```text
//! 0   2  "Pt"
//! 2   1  version of the format: the lowest one that knows the body (4 for plans that assume something, 3 for ranges of gaps, 2 for all
//!        others; 1 is still read)
//! 3   1  kind
//! 4   4  length of the body, little endian
//! 8   n  body
//! +0  4  CRC-32 (IEEE) of everything before it, little endian
//! +4  64 Ed25519 signature of everything before it
//! ```
//!
//! The checksum finds damage without a key (a gateway examining its own disk); the signature decides whether a
//! word of it is believed. Kind and version are signed, so one message cannot be passed off as another.

use std::fmt;

use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};

/// Version of the format that this build writes, but for what an older reader would take for something else. Version 1 wrote the
/// bodies of samples otherwise.
pub const VERSION: u8 = 2;
/// The version that knows ranges of gaps.
pub const VERSION_OF_RANGES: u8 = 3;
/// The version that knows plans with what is assumed of other cars.
pub const VERSION_OF_ASSUMED: u8 = 4;
/// The oldest version that is read.
const OLDEST: u8 = 1;
/// Longest envelope that is read or written. Far below the 256 MiB that MQTT allows and what brokers are configured for.
pub const MAX_ENVELOPE: usize = 512 * 1024;
const MAGIC: [u8; 2] = *b"Pt";
const HEAD: usize = 8;
const TAIL: usize = 4 + 64;

/// What an envelope carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block, gateway to cloud.
    Block,
    /// Acknowledgements, cloud to gateway.
    Ack,
    /// What a gateway still has, gateway to cloud.
    Hello,
    /// A command, cloud to gateway.
    Command,
    /// What an installer has signed of a depot: a text whose signature travels beside it.
    Ratings,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Ack => 2,
            Self::Hello => 3,
            Self::Command => 4,
            Self::Ratings => 5,
        }
    }
}

/// Why bytes are not a message that can be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not of this protocol at all.
    #[error("not a Patio message")]
    Foreign,
    /// Written by a newer or unknown version.
    #[error("version {0} of the format is not known here; update this side")]
    Version(u8),
    /// Another kind of message than this place takes.
    #[error("kind {0} is not expected here")]
    Kind(u8),
    /// Shorter or longer than it says, or over the limit.
    #[error("{found} bytes where {expected} were announced")]
    Length {
        /// What the head announces.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// The checksum does not agree: damaged in transit or on disk.
    #[error("the checksum does not agree")]
    Checksum,
    /// The signature is not that of the key.
    #[error("the signature is not that of {0}")]
    Signature(String),
    /// The content contradicts the format.
    #[error("{0}")]
    Content(String),
}

/// First 16 bytes of the SHA-256 of a whole envelope: names a content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
        Self(digest)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A text that is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits (32 bytes)")]
pub struct BadKey;

/// The secret half of a key. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key with this 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// A new random key; errors when the operating system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| BadKey)?;
        Ok(Self::from_seed(seed))
    }

    /// 64 hexadecimal digits; keep them secret.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.to_bytes())
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.verifying_key())
    }
}

/// The public half of a key; prints as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| BadKey)?;
        Self::from_bytes(&bytes)
    }

    /// The key with these 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadKey> {
        let bytes = bytes.try_into().map_err(|_| BadKey)?;
        ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| BadKey)
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.to_bytes()))
    }
}

/// Wraps and signs a body; `None` when it would be longer than [`MAX_ENVELOPE`].
pub fn seal(kind: Kind, body: &[u8], key: &SigningKey) -> Option<Vec<u8>> {
    seal_as(VERSION, kind, body, key)
}

/// The same in a version of the format.
pub(crate) fn seal_as(version: u8, kind: Kind, body: &[u8], key: &SigningKey) -> Option<Vec<u8>> {
    let mut out = framed(version, kind, body)?;
    let signature = key.0.sign(&out);
    out.extend(signature.to_bytes());
    Some(out)
}

/// What is signed: head, body and checksum.
fn framed(version: u8, kind: Kind, body: &[u8]) -> Option<Vec<u8>> {
    if HEAD + body.len() + TAIL > MAX_ENVELOPE {
        return None;
    }
    let mut out = Vec::with_capacity(HEAD + body.len() + TAIL);
    out.extend(MAGIC);
    out.push(version);
    out.push(kind.number());
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(body);
    out.extend(crc32fast::hash(&out).to_le_bytes());
    Some(out)
}

/// Version of the format under which texts are signed. They keep for as long as what they describe.
const VERSION_OF_TEXTS: u8 = 2;

/// The signature of a text that travels without its envelope: that of the envelope which it would have, so that it is
/// no signature of anything else. `None` when that would be longer than [`MAX_ENVELOPE`].
pub fn sign(kind: Kind, text: &str, key: &SigningKey) -> Option<[u8; 64]> {
    let sealed = seal_as(VERSION_OF_TEXTS, kind, text.as_bytes(), key)?;
    sealed.last_chunk().copied()
}

/// Whether this is the signature of a text by this key (strictly, as in [`Envelope::verify`]).
pub fn is_signed(kind: Kind, text: &str, signature: &[u8; 64], key: &VerifyingKey) -> bool {
    framed(VERSION_OF_TEXTS, kind, text.as_bytes()).is_some_and(|framed| {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        key.0.verify_strict(&framed, &signature).is_ok()
    })
}

/// A whole, undamaged envelope whose signature has not been looked at yet.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    bytes: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Checks frame, version, kind, length and checksum.
    pub fn open(bytes: &'a [u8], kind: Kind) -> Result<Self, OpenError> {
        if bytes.len() < HEAD + TAIL || bytes[..2] != MAGIC {
            return Err(OpenError::Foreign);
        }
        if !(OLDEST..=VERSION_OF_ASSUMED).contains(&bytes[2]) {
            return Err(OpenError::Version(bytes[2]));
        }
        let announced = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
        let expected = announced.saturating_add(HEAD + TAIL);
        if bytes.len() != expected || expected > MAX_ENVELOPE {
            return Err(OpenError::Length {
                expected,
                found: bytes.len(),
            });
        }
        let (covered, sum) = bytes[..bytes.len() - 64].split_at(bytes.len() - TAIL);
        if crc32fast::hash(covered).to_le_bytes() != sum {
            return Err(OpenError::Checksum);
        }
        if bytes[3] != kind.number() {
            return Err(OpenError::Kind(bytes[3]));
        }
        Ok(Self { bytes })
    }

    /// The same of bytes that were opened before: nothing is checked twice.
    pub(crate) fn again(bytes: &'a [u8]) -> Result<Self, OpenError> {
        if bytes.len() < HEAD + TAIL {
            return Err(OpenError::Foreign);
        }
        Ok(Self { bytes })
    }

    /// The version of the format it was written in.
    pub fn version(&self) -> u8 {
        self.bytes[2]
    }

    /// The body, not to be believed before [`Envelope::verify`].
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEAD..self.bytes.len() - TAIL]
    }

    /// The digest of the whole envelope.
    pub fn digest(&self) -> Digest {
        Digest::of(self.bytes)
    }

    /// Checks the signature (strictly: no malleable or weak-key signatures). `whose` names the key in the error.
    pub fn verify(&self, key: &VerifyingKey, whose: &str) -> Result<(), OpenError> {
        let (signed, signature) = self.bytes.split_at(self.bytes.len() - 64);
        let refused = || OpenError::Signature(whose.to_owned());
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| refused())?;
        key.0
            .verify_strict(signed, &signature)
            .map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let key = SigningKey::from_seed([7; 32]);
        let bytes = seal(Kind::Ack, b"a body", &key).unwrap();
        let opened = Envelope::open(&bytes, Kind::Ack).unwrap();
        assert_eq!(opened.body(), b"a body");
        opened.verify(&key.verifying_key(), "us").unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let refused = Envelope::open(&bytes, Kind::Ack)
                .and_then(|e| e.verify(&key.verifying_key(), "us"));
            assert!(refused.is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Envelope::open(&bytes[..cut], Kind::Ack).is_err());
        }
        assert_eq!(
            Envelope::open(&bytes, Kind::Block).unwrap_err(),
            OpenError::Kind(2)
        );
        let other = SigningKey::from_seed([8; 32]).verifying_key();
        assert_eq!(
            opened.verify(&other, "gateway x"),
            Err(OpenError::Signature("gateway x".into()))
        );
    }

    #[test]
    fn a_text_is_signed_as_what_it_is() {
        let key = SigningKey::from_seed([7; 32]);
        let signature = sign(Kind::Ratings, "a text", &key).unwrap();
        let right = |kind, text, signature: &[u8; 64], key: &SigningKey| {
            is_signed(kind, text, signature, &key.verifying_key())
        };
        assert!(right(Kind::Ratings, "a text", &signature, &key));
        assert!(!right(Kind::Command, "a text", &signature, &key));
        assert!(!right(Kind::Ratings, "a test", &signature, &key));
        let other = SigningKey::from_seed([8; 32]);
        assert!(!right(Kind::Ratings, "a text", &signature, &other));
        for bit in 0..signature.len() * 8 {
            let mut signature = signature;
            signature[bit / 8] ^= 1 << (bit % 8);
            assert!(!right(Kind::Ratings, "a text", &signature, &key));
        }
        let long = "a".repeat(MAX_ENVELOPE);
        assert_eq!(sign(Kind::Ratings, &long, &key), None);
    }

    #[test]
    fn what_is_too_long_is_not_sealed() {
        let key = SigningKey::from_seed([7; 32]);
        assert!(seal(Kind::Block, &vec![0; MAX_ENVELOPE], &key).is_none());
    }
}
