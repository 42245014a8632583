//! TLS to the broker: rustls on ring, whatever else the process has installed as its default.

use std::sync::Arc;

use rumqttc::{
    ConnectionError, StateError, mqttbytes,
    tokio_rustls::rustls::{
        self, ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
        time_provider::TimeProvider,
    },
};

use super::super::Tls;
use crate::clock::Clock;

/// Certificates and keys that cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub(in crate::uplink) enum Unusable {
    #[error(
        "no certificate authority: `ca` must be a PEM file with at least one certificate ({0})"
    )]
    Authority(String),
    #[error("no certificate of ours: `certificate` must be a PEM file with our chain ({0})")]
    Certificate(String),
    #[error("no key of ours: `key` must be a PEM file with an unencrypted private key ({0})")]
    Key(String),
    #[error("certificate and key do not go together: {0}")]
    Pair(rustls::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Judges certificates by the gateway's clock instead of the system's.
#[derive(Debug)]
struct Now(Arc<Clock>);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.for_tls()))
    }
}

/// Only the given authorities are trusted, not the system's.
pub(super) fn config(tls: &Tls, clock: Arc<Clock>) -> Result<ClientConfig, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca).map_err(Unusable::Authority)? {
        roots
            .add(certificate)
            .map_err(|error| Unusable::Authority(error.to_string()))?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Now(clock)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((chain, key)) = &tls.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(chain).map_err(Unusable::Certificate)?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| Unusable::Key(error.to_string()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(Unusable::Pair)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("there is none in it".into());
    }
    Ok(certificates)
}

/// Whether the broker's side of TLS turned our certificate down: that does not pass by itself. With TLS 1.3 its alert
/// comes only after our side of the handshake is done, in place of the CONNACK.
pub(in crate::uplink) fn is_refusal(error: &ConnectionError) -> bool {
    use rustls::AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, DecryptError, UnknownCA, UnsupportedCertificate,
    };
    let (ConnectionError::Io(io)
    | ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(io)))) = error
    else {
        return false;
    };
    let tls = io.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        tls,
        Some(rustls::Error::AlertReceived(
            AccessDenied
                | BadCertificate
                | CertificateExpired
                | CertificateRequired
                | CertificateRevoked
                | CertificateUnknown
                // An authority of the right name, but not the right one.
                | DecryptError
                | UnknownCA
                | UnsupportedCertificate
        ))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that signs itself, and its key.
    fn identity() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["depot-1".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn clock() -> Arc<Clock> {
        Arc::new(Clock::start().unwrap())
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let ((ca, key), (_, another)) = (identity(), identity());
        let error = |ca: &str, certificate: &str, key: &str| {
            let client = Some((certificate.into(), key.into()));
            let ca = ca.into();
            config(&Tls { ca, client }, clock()).unwrap_err()
        };
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        for none in ["", "text", broken, &key] {
            assert!(matches!(error(none, &ca, &key), Unusable::Authority(_)));
        }
        assert!(matches!(error(&ca, "", &key), Unusable::Certificate(_)));
        assert!(matches!(error(&ca, &ca, ""), Unusable::Key(_)));
        assert!(matches!(error(&ca, &ca, &ca), Unusable::Key(_)));
        assert!(matches!(error(&ca, &ca, &another), Unusable::Pair(_)));
    }

    /// Whatever a process has installed as its default, or nothing, as here: it is not looked at.
    #[test]
    fn the_provider_is_our_own() {
        let (ca, key) = identity();
        let tls = Tls {
            ca: ca.clone().into(),
            client: Some((ca.into(), key.into())),
        };
        let config = config(&tls, clock()).unwrap();
        assert!(crypto::CryptoProvider::get_default().is_none());
        let suites = |provider: &crypto::CryptoProvider| format!("{:?}", provider.cipher_suites);
        assert_eq!(
            suites(config.crypto_provider()),
            suites(&crypto::ring::default_provider())
        );
    }

    #[test]
    fn a_refusal_is_found_within_what_wraps_it() {
        let alert = |alert| {
            let alert = rustls::Error::AlertReceived(alert);
            let io = std::io::Error::new(std::io::ErrorKind::InvalidData, alert);
            let state = StateError::Deserialization(mqttbytes::Error::Io(io));
            is_refusal(&ConnectionError::MqttState(state))
        };
        assert!(alert(rustls::AlertDescription::CertificateRequired));
        assert!(alert(rustls::AlertDescription::UnknownCA));
        assert!(!alert(rustls::AlertDescription::CloseNotify));
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(!is_refusal(&ConnectionError::Io(io)));
    }
}
