//! Secrets and signatures: HMAC-SHA256 over `id.timestamp.body`, Base64, as `v1,…`; several of them, with spaces between,
//! while a secret is being changed.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use vault::Secret;

/// What a secret begins with.
pub const PREFIX: &str = "whsec_";
/// How long the secrets are that are made here; the specification permits 24 to 64 bytes.
const LENGTH: usize = 32;

/// A text that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `whsec_` and Base64 of 24 to 64 bytes")]
pub struct NoSecret;

/// A new secret.
pub fn new_secret() -> Result<Secret, vault::VaultError> {
    Secret::random(LENGTH).map_err(|_| vault::VaultError::Random)
}

/// A secret as its owner sees it, once.
pub fn show(secret: &Secret) -> String {
    format!("{PREFIX}{}", BASE64_STANDARD.encode(secret.reveal()))
}

/// A secret as its owner has it.
pub fn read_secret(text: &str) -> Result<Secret, NoSecret> {
    let bytes = text
        .strip_prefix(PREFIX)
        .and_then(|text| BASE64_STANDARD.decode(text).ok())
        .filter(|bytes| (24..=64).contains(&bytes.len()))
        .ok_or(NoSecret)?;
    Ok(Secret::new(bytes))
}

fn mac(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.reveal()).expect("HMAC takes keys of every length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    mac
}

/// The header `webhook-signature`, by each of these secrets.
pub fn signature(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let one = |secret| {
        let tag = mac(secret, id, timestamp, body).finalize().into_bytes();
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    };
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Whether one of the signatures of a header is by one of these secrets; compared in constant time.
pub fn is_signed(
    secrets: &[Secret],
    id: &str,
    timestamp: i64,
    body: &[u8],
    signatures: &str,
) -> bool {
    signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|one| BASE64_STANDARD.decode(one).ok())
        .any(|tag| {
            secrets
                .iter()
                .any(|secret| mac(secret, id, timestamp, body).verify_slice(&tag).is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signs_as_the_reference_does() {
        let secret = read_secret(SECRET).unwrap();
        assert_eq!(
            signature(std::slice::from_ref(&secret), ID, 1_614_265_330, BODY),
            SIGNATURE
        );
        assert_eq!(show(&secret), SECRET);
    }

    #[test]
    fn any_of_several_signatures_will_do_and_nothing_else() {
        let (old, new) = (read_secret(SECRET).unwrap(), new_secret().unwrap());
        let both = signature(&[new.clone(), old.clone()], ID, 7, BODY);
        assert_eq!(both.split(' ').count(), 2);
        for secret in [&old, &new] {
            let known = std::slice::from_ref(secret);
            assert!(is_signed(known, ID, 7, BODY, &both));
            assert!(is_signed(
                known,
                ID,
                7,
                BODY,
                &format!("v1a,AAAA {both} v1,AAAA")
            ));
            assert!(!is_signed(known, ID, 8, BODY, &both));
            assert!(!is_signed(known, "msg_other", 7, BODY, &both));
            assert!(!is_signed(known, ID, 7, b"{}", &both));
            assert!(!is_signed(known, ID, 7, BODY, &both.replace("v1,", "v2,")));
            assert!(!is_signed(known, ID, 7, BODY, ""));
        }
        let stranger = [new_secret().unwrap()];
        assert!(!is_signed(&stranger, ID, 7, BODY, &both));
    }

    #[test]
    fn what_is_no_secret() {
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_AAAA",
            "whsec_!",
        ] {
            assert_eq!(read_secret(text).unwrap_err(), NoSecret, "{text}");
        }
    }
}
