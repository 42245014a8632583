//! Who may come in (OCPP security whitepaper, edition 3, §3; 2.0.1 block A): profile 0 is no password, 1 a password, 2 a
//! password over TLS, 3 a certificate of the station over TLS. 0 and 1 only where the configuration says so, with an alarm.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use ::ocpp::Version;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderMap, HeaderValue, StatusCode, header},
        protocol::WebSocketConfig,
    },
};

use super::{
    Known, Settings,
    tls::{self, Keys},
};
use crate::clock::Clock;

/// The longest message: reports of 2.0.1 come in parts, and certificates are short.
const LONGEST: usize = 1 << 20;

/// A connection, with TLS or without.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}
pub(super) type Io = Box<dyn Wire>;

/// Why there is no central system.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Without TLS anybody on the network hears passwords and can be the gateway.
    #[error(
        "stations would connect without TLS: give `certificate` and `certificate_key`, or allow it by `insecure_stations = true`"
    )]
    NoTls,
    /// Anybody could be this station.
    #[error(
        "station `{0}` has neither a password nor a certificate: give one, or allow it by `insecure_stations = true`"
    )]
    NoSecret(String),
    /// A certificate is asked for that no authority has signed.
    #[error(
        "station `{0}` is known by its certificate: give `client_ca`, whose certificates it is verified with"
    )]
    NoAuthority(String),
    /// A back-office that cannot be reached as it is written.
    #[error("the back-office of station `{0}`: {1}")]
    Relay(String, String),
    /// Certificates or keys that cannot be used.
    #[error("certificates of the central system: {0}")]
    Keys(String),
}

/// Lets stations in, or not.
pub struct Door {
    tls: Option<TlsAcceptor>,
    alarm: Option<String>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tls = self.tls.is_some();
        f.debug_struct("Door")
            .field("tls", &tls)
            .finish_non_exhaustive()
    }
}

/// A station that was let in.
pub(super) struct Guest {
    pub(super) id: String,
    pub(super) version: Version,
    pub(super) address: SocketAddr,
    pub(super) socket: WebSocketStream<Io>,
}

/// Why somebody is turned away.
#[derive(Debug, thiserror::Error)]
pub(super) enum TurnedAway {
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("{0}")]
    WebSocket(Box<tungstenite::Error>),
    #[error("it speaks none of ocpp1.6, ocpp2.0.1, ocpp2.1")]
    Version,
}

impl Door {
    /// A door for these stations.
    ///
    /// # Errors
    /// When it would let in whom it should not, and nobody has said that it may.
    pub fn new(
        keys: Option<&Keys>,
        insecure: bool,
        stations: &HashMap<String, Known>,
        clock: Arc<Clock>,
    ) -> Result<Self, DoorError> {
        let open = |known: &Known| known.password.is_none() && known.certificate.is_none();
        let mut without: Vec<&String> = stations
            .iter()
            .filter(|(_, known)| open(known))
            .map(|(id, _)| id)
            .collect();
        without.sort();
        if !insecure {
            if keys.is_none() {
                return Err(DoorError::NoTls);
            }
            if let Some(id) = without.first() {
                return Err(DoorError::NoSecret((*id).clone()));
            }
        }
        let authority = keys.is_some_and(|keys| keys.client_ca.is_some());
        let mut certified = stations
            .iter()
            .filter(|(_, known)| known.certificate.is_some());
        if let Some((id, _)) = certified.next().filter(|_| !authority) {
            return Err(DoorError::NoAuthority(id.clone()));
        }
        let mut said = Vec::new();
        if keys.is_none() {
            said.push("stations connect without TLS (security profile 0 or 1)".to_owned());
        }
        if !without.is_empty() {
            said.push(format!(
                "{} stations connect without any secret (security profile 0)",
                without.len()
            ));
        }
        for (id, known) in stations {
            if let Some(relay) = &known.relay {
                relay
                    .check(clock.clone())
                    .map_err(|why| DoorError::Relay(id.clone(), why))?;
            }
        }
        let tls = keys.map(|keys| tls::server(keys, clock)).transpose()?;
        Ok(Self {
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            alarm: (!said.is_empty()).then(|| format!("insecure_stations: {}", said.join("; "))),
        })
    }

    /// What operations have to know about it.
    pub(super) fn alarm(&self) -> Option<&str> {
        self.alarm.as_deref()
    }

    /// Greets whoever has connected.
    pub(super) async fn greet(
        &self,
        stream: TcpStream,
        settings: &Settings,
    ) -> Result<Guest, TurnedAway> {
        let address = stream.peer_addr().map_err(TurnedAway::Tls)?;
        let (io, certificate): (Io, _) = match &self.tls {
            None => (Box::new(stream), None),
            Some(tls) => {
                let stream = tls.accept(stream).await.map_err(TurnedAway::Tls)?;
                let certificates = stream.get_ref().1.peer_certificates();
                let first = certificates.and_then(<[_]>::first);
                let digest: Option<[u8; 32]> = first.map(|first| Sha256::digest(first).into());
                (Box::new(stream), digest)
            }
        };
        let mut found = None;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        #[allow(clippy::result_large_err, reason = "the library asks for it")]
        let judge =
            |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                let id = admit(request, settings, certificate).map_err(refusal)?;
                let version = version(request.headers());
                if let Some(version) = version {
                    let name = HeaderValue::from_static(version.subprotocol());
                    response
                        .headers_mut()
                        .insert(header::SEC_WEBSOCKET_PROTOCOL, name);
                }
                found = Some((id, version));
                Ok(response)
            };
        let socket = accept_hdr_async_with_config(io, judge, Some(limits)).await;
        let mut socket = socket.map_err(|error| TurnedAway::WebSocket(Box::new(error)))?;
        match found {
            Some((id, Some(version))) => Ok(Guest {
                id,
                version,
                address,
                socket,
            }),
            _ => {
                // A station is told by a handshake without a version that it is not understood (OCPP-J 1.6 §3.2).
                let _ = socket.close(None).await;
                Err(TurnedAway::Version)
            }
        }
    }
}

/// Whose connection it is: the station named by the last part of the path, if it is who it says it is.
fn admit(
    request: &Request,
    settings: &Settings,
    certificate: Option<[u8; 32]>,
) -> Result<String, StatusCode> {
    let id = request
        .uri()
        .path()
        .strip_prefix("/ocpp/")
        .ok_or(StatusCode::NOT_FOUND)?;
    let known = settings.stations.get(id).ok_or(StatusCode::NOT_FOUND)?;
    if known.certificate.is_some() && known.certificate != certificate {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if let Some(expected) = known.password {
        let (name, password) = basic(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
        let given: [u8; 32] = Sha256::digest(&password).into();
        // A digest that differs tells nothing about the password, however long the comparison takes.
        if name != id.as_bytes() || given != expected {
            return Err(StatusCode::UNAUTHORIZED);
        }
    }
    Ok(id.to_owned())
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"ocpp\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// Name and password of HTTP Basic authentication (RFC 7617); passwords of 1.6 are bytes, not text.
fn basic(headers: &HeaderMap) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, coded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(coded.trim()).ok()?;
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    Some((bytes[..colon].to_vec(), bytes[colon + 1..].to_vec()))
}

/// The first version that the station offers and we speak: its order counts (2.0.1 part 4, §3.1.2). Of 2.1 only what it shares
/// with 2.0.1 is understood, so it comes last.
fn version(headers: &HeaderMap) -> Option<Version> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let names = offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let versions: Vec<Version> = names.filter_map(Version::from_subprotocol).collect();
    let whole = versions.iter().find(|version| **version != Version::V2_1);
    whole.or(versions.first()).copied()
}
