//! A provider's public keys: a JWK Set (RFC 7517), and the two algorithms by which ID tokens may be signed (RFC 7518, 3.3
//! and 3.4). The key decides what it can be used for, never the token.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// Most keys of a set that are looked at.
const MOST: usize = 64;

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Neither RS256 nor ES256.
    Algorithm,
    /// No key of this name and sort.
    UnknownKey,
    /// Not made by that key.
    Signature,
}

/// A set of keys.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    sort: Sort,
}

#[derive(Clone, Debug)]
enum Sort {
    /// Modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// The point, uncompressed.
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JWK Set. Keys that are of no use here are left out (RFC 7517, 5): other curves, keys for encryption.
    pub fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let set: Set = serde_json::from_slice(text)?;
        let keys = set
            .keys
            .into_iter()
            .take(MOST)
            .filter_map(|value| key(&value));
        Ok(Self(keys.collect()))
    }

    /// Whether the bytes were signed by the key of this name; without a name, by the only key that there is of the sort
    /// (Core 10.1).
    pub fn verify(
        &self,
        algorithm: &str,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Unfit> {
        let rsa = match algorithm {
            "RS256" => true,
            "ES256" => false,
            _ => return Err(Unfit::Algorithm),
        };
        let mut fitting = self.0.iter().filter(|key| {
            matches!(key.sort, Sort::Rsa(..)) == rsa && (id.is_none() || key.id.as_deref() == id)
        });
        let (Some(key), None) = (fitting.next(), fitting.next()) else {
            return Err(Unfit::UnknownKey);
        };
        let verified = match &key.sort {
            Sort::Rsa(n, e) => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
            Sort::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
        };
        verified.map_err(|_| Unfit::Signature)
    }
}

fn key(value: &serde_json::Value) -> Option<Key> {
    let jwk = Jwk::deserialize(value).ok()?;
    if jwk
        .purpose
        .as_deref()
        .is_some_and(|purpose| purpose != "sig")
    {
        return None;
    }
    let made_for = |algorithm: &str| jwk.alg.as_deref().is_none_or(|alg| alg == algorithm);
    let bytes = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let sort = match jwk.kty.as_str() {
        "RSA" if made_for("RS256") => {
            let bare = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            Sort::Rsa(bare(bytes(&jwk.n)?), bare(bytes(&jwk.e)?))
        }
        "EC" if jwk.crv.as_deref() == Some("P-256") && made_for("ES256") => {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            if (x.len(), y.len()) != (32, 32) {
                return None;
            }
            Sort::P256([&[4][..], &x, &y].concat())
        }
        _ => return None,
    };
    Some(Key { id: jwk.kid, sort })
}
