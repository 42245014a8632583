//! An ID token: read, its signature checked, its claims looked at. Pure: keys and the time go in.
//!
//! OpenID Connect Core 1.0, 3.1.3.7; JWS compact serialisation, RFC 7515; what attackers try, RFC 8725.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::keys::{KeySet, Unfit};

/// How far the provider's clock and ours may be apart.
pub const SKEW: SignedDuration = SignedDuration::from_mins(1);
/// Longest time from the issue of a token until it is shown to us.
pub const OLDEST: SignedDuration = SignedDuration::from_mins(10);
/// Longest token that is read, in bytes.
const LONGEST: usize = 32 * 1024;

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It is no signed token.
    #[error("the ID token cannot be read: {0}")]
    Unreadable(&'static str),
    /// It is signed in a way that is not accepted: `none`, or with a shared secret.
    #[error("the ID token is signed with an algorithm other than RS256 and ES256")]
    Algorithm,
    /// The provider's keys have none of its name: they may have changed.
    #[error("the ID token is signed with a key that the provider does not publish")]
    UnknownKey,
    /// The signature is not that key's.
    #[error("the signature of the ID token is not the provider's")]
    Signature,
    /// A claim is not what it must be.
    #[error("the ID token is not for this sign-in: {0}")]
    Claim(&'static str),
}

/// What a token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who issued it.
    pub issuer: &'a str,
    /// For whom.
    pub client_id: &'a str,
    /// In answer to what.
    pub nonce: &'a str,
    /// When it is.
    pub now: Timestamp,
}

/// Whom a token is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The provider's name for them.
    pub subject: String,
    /// Their address, if the provider has verified it.
    pub verified_email: Option<String>,
    /// Whether the token speaks of an address at all, verified or not.
    pub speaks_of_email: bool,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: serde_json::Number,
    iat: serde_json::Number,
    nbf: Option<serde_json::Number>,
    nonce: Option<String>,
    email: Option<String>,
    // Core 5.1: a boolean. A text would be true whatever it says.
    email_verified: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Believes a token, or says why not.
pub fn verify(token: &str, keys: &KeySet, expected: Expected<'_>) -> Result<Person, Distrust> {
    if token.len() > LONGEST {
        return Err(Distrust::Unreadable("it is too long"));
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Distrust::Unreadable("it does not have three parts"));
    };
    let header: Header = json(head)?;
    // RFC 7515, 4.1.11: what must be understood and is not refuses the token.
    if header.crit.is_some() {
        return Err(Distrust::Unreadable("it has critical extensions"));
    }
    let signature = BASE64_URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| Distrust::Unreadable("its signature is not Base64"))?;
    let signed = &token.as_bytes()[..head.len() + 1 + body.len()];
    keys.verify(&header.alg, header.kid.as_deref(), signed, &signature)
        .map_err(|unfit| match unfit {
            Unfit::Algorithm => Distrust::Algorithm,
            Unfit::UnknownKey => Distrust::UnknownKey,
            Unfit::Signature => Distrust::Signature,
        })?;
    look_at(json(body)?, expected)
}

/// Steps 2, 3 to 5, 9, 10 and 11 of Core 3.1.3.7.
fn look_at(claims: Claims, expected: Expected<'_>) -> Result<Person, Distrust> {
    let wrong = |what| Err(Distrust::Claim(what));
    if claims.iss != expected.issuer {
        return wrong("it is of another issuer");
    }
    // Nobody else is trusted, so nobody else may be in the audience.
    let for_us = match &claims.aud {
        Audience::One(one) => one == expected.client_id,
        Audience::Several(all) => {
            !all.is_empty() && all.iter().all(|one| one == expected.client_id)
        }
    };
    if !for_us {
        return wrong("it is for another audience");
    }
    if claims.azp.is_some_and(|party| party != expected.client_id) {
        return wrong("it was issued to another party");
    }
    let (Some(expires), Some(issued)) = (instant(&claims.exp), instant(&claims.iat)) else {
        return wrong("its times are none");
    };
    let later = |time: Timestamp, by| time.saturating_add(by).unwrap_or(Timestamp::MAX);
    let now = expected.now;
    if later(expires, SKEW) <= now {
        return wrong("it has expired");
    }
    if issued > later(now, SKEW) {
        return wrong("it was issued in the future");
    }
    if later(later(issued, OLDEST), SKEW) < now {
        return wrong("it was issued too long ago");
    }
    if let Some(not_before) = &claims.nbf
        && instant(not_before).is_none_or(|start| start > later(now, SKEW))
    {
        return wrong("it is not good yet");
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return wrong("its nonce is another");
    }
    // Core 2: at most 255 ASCII characters.
    if !(1..=255).contains(&claims.sub.len()) || !claims.sub.is_ascii() {
        return wrong("its subject is none");
    }
    let verified = claims.email_verified == Some(true);
    Ok(Person {
        subject: claims.sub,
        speaks_of_email: claims.email.is_some(),
        verified_email: claims.email.filter(|_| verified),
    })
}

/// RFC 7519, 2: seconds, perhaps with a fraction.
fn instant(number: &serde_json::Number) -> Option<Timestamp> {
    let seconds = number.as_i64().or_else(|| {
        let seconds = number.as_f64()?;
        seconds.is_finite().then_some(seconds as i64)
    })?;
    Timestamp::from_second(seconds).ok()
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Distrust> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Distrust::Unreadable("a part is not Base64"))?;
    serde_json::from_slice(&bytes)
        .map_err(|_| Distrust::Unreadable("a part lacks what it must say"))
}
