//! TLS on both sides: stations and browsers come to the gateway, and the gateway goes to back-offices. Certificates are judged by
//! the gateway's own clock.

use std::sync::Arc;

use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore, ServerConfig, crypto,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    time_provider::TimeProvider,
};

use super::door::DoorError;
use crate::clock::Clock;

/// Certificates for TLS, all PEM.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The gateway's chain.
    pub certificate: Vec<u8>,
    /// Its secret key.
    pub key: Vec<u8>,
    /// The authorities of stations' certificates.
    pub client_ca: Option<Vec<u8>>,
}

/// Judges certificates by the gateway's clock instead of the system's.
#[derive(Debug)]
struct Now(Arc<Clock>);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.for_tls()))
    }
}

/// A server's side of TLS, for stations and browsers.
pub(crate) fn server(keys: &Keys, clock: Arc<Clock>) -> Result<ServerConfig, DoorError> {
    let wrong =
        |what: &str, error: &dyn std::fmt::Display| DoorError::Keys(format!("{what}: {error}"));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&keys.certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong("`certificate` must be a PEM file", &error))?;
    let key = PrivateKeyDer::from_pem_slice(&keys.key).map_err(|error| {
        wrong(
            "`certificate_key` must be a PEM file with an unencrypted key",
            &error,
        )
    })?;
    let provider = Arc::new(crypto::ring::default_provider());
    let tls = |error: rustls::Error| wrong("TLS", &error);
    let builder = ServerConfig::builder_with_details(provider.clone(), Arc::new(Now(clock)))
        .with_safe_default_protocol_versions()
        .map_err(tls)?;
    let verifier: Option<Arc<dyn ClientCertVerifier>> = match &keys.client_ca {
        None => None,
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authorities) {
                let certificate =
                    certificate.map_err(|error| wrong("`client_ca` must be a PEM file", &error))?;
                roots.add(certificate).map_err(tls)?;
            }
            // Stations without one may still have a password; `admit` says who needs which.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build();
            Some(verifier.map_err(|error| wrong("`client_ca`", &error))?)
        }
    };
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    builder.with_single_cert(chain, key).map_err(tls)
}

/// The gateway's side of TLS when it goes to a back-office: these authorities (PEM) are trusted, not the system's.
///
/// # Errors
/// What is wrong with the certificates.
pub(super) fn client(authorities: &[u8], clock: Arc<Clock>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("`relay_ca` must be a PEM file with at least one certificate".to_owned());
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Now(clock)));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
