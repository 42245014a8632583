//! The page for whoever looks after the depot, as the configuration has it.

use std::net::SocketAddr;

use config_file::{Fault, Spans};

use super::{Identity, Stations, file};

/// The page on which the depot's limits are seen, and stations are told to start and stop.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it is served.
    pub listen: SocketAddr,
    /// The hash of the PIN by which people come in (`edge pin`).
    pub pin: String,
    /// The token with which transactions are begun from it.
    pub token: Option<String>,
    /// What browsers know the gateway by; without it there is no TLS.
    pub identity: Option<Identity>,
}

/// Whether this may be the hash of a PIN: argon2id in the PHC string format.
fn is_hash(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    matches!(parts[..], ["", "argon2id", "v=19", cost, salt, hash]
        if cost.starts_with("m=") && salt.len() >= 11 && hash.len() >= 43)
}

/// Checks what stands in the file; nothing comes out when a fault was found.
pub(super) fn check(
    written: file::Page,
    stations: Option<&Stations>,
    controls: bool,
    spans: &Spans,
    faults: &mut Vec<Fault>,
) -> Option<Page> {
    let before = faults.len();
    let (certificate, key) = (written.certificate, written.certificate_key);
    let given = (certificate.is_some(), key.is_some());
    let mut file = |key: &str, path: Option<std::path::PathBuf>| {
        let found = path.map(|path| spans.existing_file(&format!("page.{key}"), &path));
        found.transpose().map_err(|fault| faults.push(fault)).ok()?
    };
    let identity = file("certificate", certificate)
        .zip(file("certificate_key", key))
        .map(|(certificate, key)| Identity { certificate, key });
    let mut fault = |key: &str, expected: &str, found: &str| {
        faults.push(spans.fault(&format!("page.{key}"), expected, found));
    };
    match given {
        (true, false) => fault("certificate_key", "the key of the certificate", "none"),
        (false, true) => fault("certificate", "the certificate of the key", "none"),
        (false, false) if !written.insecure_page && !written.listen.ip().is_loopback() => fault(
            "certificate",
            "a certificate for TLS, an address of this machine alone, or `insecure_page = true`",
            "none",
        ),
        _ => {}
    }
    if !is_hash(&written.pin) {
        // A PIN that was written here by mistake is not shown.
        let expected = "the hash of a PIN ($argon2id$…, made by `edge pin`)";
        fault("pin", expected, "something else");
    }
    if !controls {
        fault(
            "listen",
            "a gateway with [control], whose depot the page shows",
            "none",
        );
    }
    if let Some(token) = &written.token {
        let tokens = stations.map_or(&[][..], |stations| &stations.tokens);
        let same = |one: &super::Token| one.id.eq_ignore_ascii_case(token) && !one.blocked;
        if !tokens.iter().any(same) {
            fault(
                "token",
                "a token of [[stations.token]] that may charge",
                token,
            );
        }
    }
    (faults.len() == before).then_some(Page {
        listen: written.listen,
        pin: written.pin,
        token: written.token,
        identity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_no_pin() {
        assert!(is_hash(
            "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IG5vYm9keQ$Zz1Tn5Ym3Z0h0v8lQ5a8VQm0J0v4Yg2r1c0Wm3k5u7Q"
        ));
        for other in ["", "493021", "$argon2id$v=19$m=1$$", "$2b$12$abcdefgh"] {
            assert!(!is_hash(other), "{other}");
        }
    }
}
