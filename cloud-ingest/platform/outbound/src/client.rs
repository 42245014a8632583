//! The client: resolve, look at every address, connect to one of those, speak TLS with the name's certificate, send, read
//! the answer up to a limit. Each step within its time.
//!
//! The name is resolved once and the address that was looked at is the one that is connected to, so a name that changes
//! its address in between gains nothing. An answer that redirects is an answer: nobody goes there.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method,
    client::conn::http1,
    header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use url::{Host, Url};

use crate::address::forbidden;

/// Where calls may go, and how long they may take.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether `http` is permitted beside `https`.
    pub plain_http: bool,
    /// Whether addresses outside the public Internet are permitted: for services of our own, never for strangers' URLs.
    pub any_address: bool,
    /// How long resolving, connecting and TLS may take, together.
    pub connect: Duration,
    /// How long all of it may take.
    pub total: Duration,
    /// How much of an answer is read, in bytes.
    pub answer: usize,
}

impl Rules {
    /// For URLs that strangers give: HTTPS to the public Internet, 5 s to connect, 15 s in all, 16 KiB of answer.
    pub const STRANGERS: Self = Self {
        plain_http: false,
        any_address: false,
        connect: Duration::from_secs(5),
        total: Duration::from_secs(15),
        answer: 16 * 1024,
    };
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The URL cannot be called. Nothing was sent.
    #[error("the URL cannot be called: {0}")]
    Url(String),
    /// The name leads to an address that is not permitted. Nothing was sent.
    #[error("{host} leads to {address} ({what}), where no call may go")]
    Forbidden {
        /// The name.
        host: String,
        /// The address.
        address: IpAddr,
        /// What it is.
        what: &'static str,
    },
    /// Nobody was reached. Nothing was sent.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The name.
        host: String,
        /// Why.
        reason: String,
    },
    /// The request was sent, or part of it, and there was no answer: whether it had an effect is not known.
    #[error("{host} did not answer: {reason}")]
    Unanswered {
        /// The name.
        host: String,
        /// Why.
        reason: String,
    },
}

impl CallError {
    /// Whether the request may have had its effect.
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Further headers; `Host`, `Content-Length` and `User-Agent` are set by the client.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A request without headers.
    pub fn new(method: Method, url: Url, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// With a header. A value that no header can have is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as the rules permit.
    pub body: Bytes,
    /// Whether the body was longer.
    pub cut: bool,
    /// Who answered.
    pub address: SocketAddr,
}

type Found<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All of them.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Found<'a>;
}

/// The resolver of the machine.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Found<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Calls others. Cloning it is cheap.
#[derive(Clone)]
pub struct Client {
    rules: Rules,
    resolver: Arc<dyn Resolve>,
    tls: TlsConnector,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.rules)
    }
}

impl Client {
    /// A client that trusts the certificate authorities of the machine and asks its resolver.
    pub fn new(rules: Rules) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificate authorities of the machine");
        }
        roots.add_parsable_certificates(found.certs);
        Self::with(rules, Arc::new(System), roots)
    }

    /// A client that asks this resolver and trusts these authorities.
    pub fn with(rules: Rules, resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            rules,
            resolver,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Whether the URL could be called at all: its scheme, its host when that is an address, no password in it.
    pub fn check(&self, url: &Url) -> Result<(), CallError> {
        let wrong = |reason: &str| Err(CallError::Url(reason.to_owned()));
        match url.scheme() {
            "https" => {}
            "http" if self.rules.plain_http => {}
            "http" => return wrong("it must begin with https://"),
            _ => return wrong("it must begin with https://, and is no URL of the web"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("it carries a user or a password; use a header for that");
        }
        match url.host() {
            None => wrong("it names no host"),
            Some(Host::Ipv4(address)) => self.permitted(url, address.into()),
            Some(Host::Ipv6(address)) => self.permitted(url, address.into()),
            Some(Host::Domain(_)) => Ok(()),
        }
    }

    fn permitted(&self, url: &Url, address: IpAddr) -> Result<(), CallError> {
        match forbidden(address) {
            Some(what) if !self.rules.any_address => Err(CallError::Forbidden {
                host: url.host_str().unwrap_or_default().to_owned(),
                address,
                what,
            }),
            _ => Ok(()),
        }
    }

    /// Sends a request and reads the answer, whatever its status.
    pub async fn call(&self, request: Request) -> Result<Answer, CallError> {
        self.check(&request.url)?;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let connect = timeout(self.rules.connect, self.connect(&request.url));
        let stream = connect.await.unwrap_or_else(|_| {
            Err(CallError::Unreachable {
                host: host.clone(),
                reason: format!("no connection within {:?}", self.rules.connect),
            })
        })?;
        let exchange = timeout(self.rules.total, self.exchange(stream, request));
        exchange.await.unwrap_or_else(|_| {
            Err(CallError::Unanswered {
                host,
                reason: format!("no answer within {:?}", self.rules.total),
            })
        })
    }

    async fn connect(&self, url: &Url) -> Result<Stream, CallError> {
        let host = url.host_str().unwrap_or_default();
        let unreachable = |reason: String| CallError::Unreachable {
            host: host.to_owned(),
            reason,
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let found = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::new(address.into(), port)],
            Some(Host::Ipv6(address)) => vec![SocketAddr::new(address.into(), port)],
            _ => self
                .resolver
                .resolve(host, port)
                .await
                .map_err(|error| unreachable(error.to_string()))?,
        };
        // One address that is not permitted is enough: who mixes them means us harm.
        for address in &found {
            self.permitted(url, address.ip())?;
        }
        let mut last = "the name has no address".to_owned();
        for address in found {
            let stream = match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(error) => {
                    last = format!("{address}: {error}");
                    continue;
                }
            };
            if url.scheme() == "http" {
                return Ok(Stream(Box::new(stream), address));
            }
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|error| CallError::Url(error.to_string()))?;
            let stream = self
                .tls
                .connect(name, stream)
                .await
                .map_err(|error| unreachable(format!("{address}: {error}")))?;
            return Ok(Stream(Box::new(stream), address));
        }
        Err(unreachable(last))
    }

    async fn exchange(&self, stream: Stream, request: Request) -> Result<Answer, CallError> {
        let Stream(stream, address) = stream;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let broke = |error: hyper::Error| CallError::Unanswered {
            host: host.clone(),
            reason: in_words(&error),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        let target = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let authority = match request.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let length = request.body.len();
        let mut message = hyper::Request::new(Full::new(request.body));
        *message.method_mut() = request.method;
        *message.uri_mut() = target
            .parse()
            .map_err(|error| CallError::Url(format!("{error}")))?;
        *message.headers_mut() = request.headers;
        let headers = message.headers_mut();
        let value =
            HeaderValue::from_str(&authority).map_err(|error| CallError::Url(error.to_string()))?;
        headers.insert(HOST, value);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(USER_AGENT, HeaderValue::from_static("Patio"));
        let talk = async {
            let answer = sender.send_request(message).await.map_err(broke)?;
            let (parts, mut body) = answer.into_parts();
            let mut kept = Vec::new();
            let mut cut = false;
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(broke)?.into_data() else {
                    continue;
                };
                let room = self.rules.answer - kept.len();
                cut = data.len() > room;
                kept.extend_from_slice(&data[..data.len().min(room)]);
                if cut {
                    break;
                }
            }
            Ok(Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: kept.into(),
                cut,
                address,
            })
        };
        // The connection ends with the exchange, whichever way that ends.
        tokio::pin!(talk);
        let mut connection = std::pin::pin!(connection);
        let mut open = true;
        loop {
            tokio::select! {
                answer = &mut talk => return answer,
                _ = &mut connection, if open => open = false,
            }
        }
    }
}

/// What is read from and written to, and who is there.
struct Stream(Box<dyn Duplex>, SocketAddr);

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

fn in_words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
