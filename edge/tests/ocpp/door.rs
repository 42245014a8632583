//! Who may come in.

use std::{collections::HashMap, sync::Arc};

use edge::{
    clock::Clock,
    sources::ocpp::{Door, DoorError, Keys},
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, http::StatusCode},
};

use crate::{
    certificates::{Authority, Identity},
    rig::{Gateway, digest, known, request},
};

/// What a handshake gives: the version, or the status of the refusal.
fn outcome<S>(
    result: Result<
        (
            S,
            tokio_tungstenite::tungstenite::handshake::client::Response,
        ),
        Error,
    >,
) -> Result<Option<String>, StatusCode> {
    match result {
        Ok((_, response)) => Ok(response
            .headers()
            .get("Sec-WebSocket-Protocol")
            .map(|value| value.to_str().unwrap().to_owned())),
        Err(Error::Http(response)) => Err(response.status()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn passwords_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), None, known(Some("secret"), None)).await;
    let come = async |path: &str, versions: &str, password: Option<(&str, &str)>| {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        outcome(client_async(request(path, versions, password), stream).await)
    };
    let right = Some(("CP-1", "secret"));
    assert_eq!(
        come("/ocpp/CP-1", "ocpp1.6", right).await,
        Ok(Some("ocpp1.6".into()))
    );
    assert_eq!(
        come("/ocpp/CP-1", "ocpp2.1, ocpp2.0.1, ocpp1.6", right).await,
        Ok(Some("ocpp2.0.1".into()))
    );
    assert_eq!(
        come("/ocpp/CP-1", "ocpp2.1", right).await,
        Ok(Some("ocpp2.1".into()))
    );
    for wrong in [
        None,
        Some(("CP-1", "Secret")),
        Some(("CP-2", "secret")),
        Some(("CP-1", "")),
    ] {
        assert_eq!(
            come("/ocpp/CP-1", "ocpp1.6", wrong).await,
            Err(StatusCode::UNAUTHORIZED),
            "{wrong:?}"
        );
    }
    assert_eq!(
        come("/ocpp/CP-2", "ocpp1.6", right).await,
        Err(StatusCode::NOT_FOUND)
    );
    assert_eq!(
        come("/", "ocpp1.6", right).await,
        Err(StatusCode::NOT_FOUND)
    );
    gateway.kill().await;
}

struct Trust {
    authority: Authority,
    keys: Keys,
}

impl Trust {
    fn new(with_clients: bool) -> Self {
        let authority = Authority::new("Depot");
        let server = authority.server();
        let keys = Keys {
            certificate: server.certificate.into_bytes(),
            key: server.key.into_bytes(),
            client_ca: with_clients.then(|| authority.pem().into_bytes()),
        };
        Self { authority, keys }
    }

    /// Connects over TLS as a station with this certificate, and says what came of it.
    async fn come(
        &self,
        gateway: &Gateway,
        identity: Option<&Identity>,
        password: Option<(&str, &str)>,
    ) -> Result<Option<String>, String> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![der(identity)],
                    PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        let stream = stream.map_err(|error| error.to_string())?;
        match client_async(request("/ocpp/CP-1", "ocpp1.6", password), stream).await {
            Ok(done) => Ok(outcome(Ok(done)).unwrap()),
            Err(Error::Http(response)) => Err(response.status().to_string()),
            Err(other) => Err(other.to_string()),
        }
    }
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()
}

#[tokio::test]
async fn stations_connect_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::new(false);
    let gateway = Gateway::start(
        folder.path(),
        Some(&trust.keys),
        known(Some("secret"), None),
    )
    .await;
    let right = trust.come(&gateway, None, Some(("CP-1", "secret"))).await;
    assert_eq!(right, Ok(Some("ocpp1.6".into())));
    assert!(
        trust
            .come(&gateway, None, Some(("CP-1", "no")))
            .await
            .unwrap_err()
            .contains("401")
    );
    // Another authority's station does not believe the gateway.
    let stranger = Trust::new(false);
    assert!(stranger.come(&gateway, None, None).await.is_err());
    gateway.kill().await;
}

#[tokio::test]
async fn client_certificates_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::new(true);
    let (mine, another) = (
        trust.authority.client("CP-1"),
        trust.authority.client("CP-1"),
    );
    let station = known(None, Some(digest(&der(&mine))));
    let gateway = Gateway::start(folder.path(), Some(&trust.keys), station).await;
    assert_eq!(
        trust.come(&gateway, Some(&mine), None).await,
        Ok(Some("ocpp1.6".into()))
    );
    assert!(
        trust.come(&gateway, Some(&another), None).await.is_err(),
        "another station's certificate"
    );
    assert!(
        trust
            .come(&gateway, None, Some(("CP-1", "secret")))
            .await
            .is_err(),
        "no certificate"
    );
    let forged = Authority::new("Depot").client("CP-1");
    assert!(
        trust.come(&gateway, Some(&forged), None).await.is_err(),
        "another authority's"
    );
    gateway.kill().await;
}

#[test]
fn what_is_insecure_has_to_be_allowed_in_writing() {
    let clock = Arc::new(Clock::start().unwrap());
    let station = |known| HashMap::from([("CP-1".to_owned(), known)]);
    let keys = Trust::new(false).keys;
    let door = |keys: Option<&Keys>, insecure, known| {
        Door::new(keys, insecure, &station(known), clock.clone()).map(drop)
    };
    assert!(matches!(
        door(None, false, known(Some("x"), None)),
        Err(DoorError::NoTls)
    ));
    assert!(matches!(
        door(Some(&keys), false, known(None, None)),
        Err(DoorError::NoSecret(_))
    ));
    assert!(matches!(
        door(Some(&keys), false, known(None, Some([0; 32]))),
        Err(DoorError::NoAuthority(_))
    ));
    assert!(door(Some(&keys), false, known(Some("x"), None)).is_ok());
    assert!(door(None, true, known(None, None)).is_ok());
}
