//! To another back-office, as which the depot's stations were known before: for each station a connection of its own, over which
//! the gateway speaks as that station. The station itself never hears of it.
//!
//! What a station tells of transactions stands in the book, in its own words, from the commit that stored it until the
//! back-office has answered it: oldest first, one at a time, over outages of any length. A message keeps its id however often it is
//! sent, so that a back-office that did not come to answer can know it again. In 1.6 transactions have the numbers that the
//! back-office gives; the book remembers which is which. What is of the moment (boot, statuses) is told as it is now, not as it
//! was. Requests of the back-office are refused: there is one central system.

use std::{sync::Arc, time::Duration};

use ::ocpp::Version;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::watch, time::Instant};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, Uri},
    },
};

use super::{Central, Context, door::Io, tls};
use crate::{
    clock::Clock,
    stopped,
    supervise::Beat,
    transactions::{BookError, Relayed},
};

/// How long connecting, and an answer, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between attempts to connect: the first, and the longest that doubling leads to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Between two attempts to tell what the back-office has answered with an error, and how often it is told in all.
const AGAIN: (Duration, u32) = (Duration::from_secs(2), 3);
/// How often it is heard that the station is there, when the back-office does not say.
const HEARTBEAT: Duration = Duration::from_secs(300);

/// Another back-office of a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Where it is, without the station's id: `wss://csms.example/ocpp`.
    pub url: String,
    /// The station's password there.
    pub password: Option<String>,
    /// The authorities of its certificate (PEM); there must be some for `wss://`.
    pub authorities: Option<Vec<u8>>,
}

impl Relay {
    /// Whether it can be reached as it is written.
    pub(super) fn check(&self, clock: Arc<Clock>) -> Result<(), String> {
        match (self.url.starts_with("wss://"), &self.authorities) {
            (true, Some(authorities)) => tls::client(authorities, clock).map(drop),
            (true, None) => {
                Err("`wss://` needs `relay_ca`: whose certificates it is known by".to_owned())
            }
            (false, _) => Ok(()),
        }
    }

    /// A connection to it, with TLS or without.
    async fn reach(&self, uri: &Uri, clock: Arc<Clock>) -> Result<Io, End> {
        let secure = uri.scheme_str() == Some("wss");
        let host = uri
            .host()
            .ok_or_else(|| End::Address("it names no host".into()))?;
        // An IPv6 address stands in brackets there.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        if !secure {
            return Ok(Box::new(stream));
        }
        let authorities = self.authorities.as_deref().unwrap_or_default();
        let config = tls::client(authorities, clock).map_err(End::Address)?;
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| End::Address(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

/// Why a connection to a back-office ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the gateway stops")]
    Stopping,
    #[error("the back-office has closed it")]
    Closed,
    #[error("no answer came within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("its address cannot be used: {0}")]
    Address(String),
    #[error(transparent)]
    WebSocket(#[from] Box<tungstenite::Error>),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Book(#[from] BookError),
}

impl From<tungstenite::Error> for End {
    fn from(error: tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

/// Relays one station until the gateway stops.
pub async fn run(central: Arc<Central>, station: String, mut context: Context, beat: Beat) {
    let known = central.settings.stations.get(&station);
    let Some(relay) = known.and_then(|known| known.relay.clone()) else {
        return;
    };
    let mut pause = PAUSE.0;
    loop {
        beat.pass().await;
        let mut told = false;
        let end = tell(&central, &station, &relay, &context, &beat, &mut told).await;
        let Err(end) = end;
        if matches!(end, End::Stopping) {
            return;
        }
        if told {
            pause = PAUSE.0;
        }
        tracing::warn!(station, url = relay.url, %end, "a back-office is not reached; what it is to be told waits");
        tokio::select! {
            () = beat.during(tokio::time::sleep(pause)) => {}
            () = stopped(&mut context.stop) => return,
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// An answer: its payload, or the error.
type Answer = Result<Value, Value>;

struct Line<'a> {
    socket: WebSocketStream<Io>,
    stop: watch::Receiver<bool>,
    beat: &'a Beat,
}

async fn tell(
    central: &Central,
    station: &str,
    relay: &Relay,
    context: &Context,
    beat: &Beat,
    told: &mut bool,
) -> Result<std::convert::Infallible, End> {
    let name = station.to_owned();
    let version = central.book(move |book| book.version(&name)).await?;
    let mut written = central.keeper.news();
    // Until the station has connected once, nobody knows what it speaks.
    let Some(version) = version else {
        return wait_for_first(&mut written, context, beat).await;
    };
    let connecting = tokio::time::timeout(
        PATIENCE,
        connect(relay, station, version, context.clock.clone()),
    );
    let socket = beat.during(connecting).await.map_err(|_| End::Silent)??;
    let mut line = Line {
        socket,
        stop: context.stop.clone(),
        beat,
    };
    // What is of the moment has no number in the book: its ids begin with the instant of the connection.
    let begun = jiff::Timestamp::now().as_millisecond();
    let mut fresh = (0..).map(|number: u64| format!("m{begun:x}-{number}"));
    let mut heartbeat = HEARTBEAT;
    let (mut standing, mut attempts) = (0, 0);
    let name = station.to_owned();
    let boot = central.book(move |book| book.boot(&name)).await?;
    let boot = boot.unwrap_or_else(|| unknown(version));
    // What is told later than it happened says so, where the version has a word for it.
    let name = station.to_owned();
    let late = central.book(move |book| book.latest_relayed(&name)).await?;
    loop {
        let id = fresh.next().unwrap_or_default();
        let answer = line.call(&id, "BootNotification", &boot).await?;
        let interval = answer
            .as_ref()
            .ok()
            .and_then(|said| said["interval"].as_u64());
        heartbeat = interval
            .filter(|seconds| *seconds > 0)
            .map_or(heartbeat, |seconds| {
                Duration::from_secs(seconds.min(86_400))
            });
        if answer.is_ok_and(|said| said["status"] == "Accepted") {
            break;
        }
        line.idle(heartbeat.min(PAUSE.1), None).await?;
    }
    *told = true;
    let mut beats = Instant::now() + heartbeat;
    loop {
        written.mark_unchanged();
        let name = station.to_owned();
        let status = central.book(move |book| book.standing(&name, standing));
        if let Some((number, action, payload)) = status.await? {
            standing = number;
            let id = fresh.next().unwrap_or_default();
            // What it says to that changes nothing.
            let _ = line.call(&id, &action, &payload).await?;
            continue;
        }
        let name = station.to_owned();
        let Some(next) = central.book(move |book| book.relayed(&name)).await? else {
            let now = Instant::now();
            if beats <= now {
                let id = fresh.next().unwrap_or_default();
                let _ = line.call(&id, "Heartbeat", &json!({})).await?;
                beats = now + heartbeat;
            }
            line.idle(beats.saturating_duration_since(now), Some(&written))
                .await?;
            continue;
        };
        let number = next.number;
        let answer = line
            .call(&format!("t{number}"), &next.action, &payload(&next, late))
            .await?;
        attempts += 1;
        match answer {
            Ok(said) => {
                let theirs = said["transactionId"].as_i64();
                central.book(move |book| book.told(&next, theirs)).await?;
                attempts = 0;
            }
            Err(error) if attempts >= AGAIN.1 => {
                tracing::error!(station, action = next.action, %error, "the back-office does not take what a station has told");
                central.book(move |book| book.told(&next, None)).await?;
                attempts = 0;
            }
            Err(_) => line.idle(AGAIN.0, None).await?,
        }
    }
}

async fn wait_for_first(
    written: &mut watch::Receiver<u64>,
    context: &Context,
    beat: &Beat,
) -> Result<std::convert::Infallible, End> {
    let mut stop = context.stop.clone();
    tokio::select! {
        _ = beat.during(written.changed()) => Err(End::Closed),
        () = stopped(&mut stop) => Err(End::Stopping),
    }
}

/// Who a station is that has not said so yet.
fn unknown(version: Version) -> Value {
    match version {
        Version::V1_6 => json!({ "chargePointVendor": "unknown", "chargePointModel": "unknown" }),
        _ => json!({
            "reason": "Unknown", "chargingStation": { "vendorName": "unknown", "model": "unknown" },
        }),
    }
}

/// With the number of the transaction that the back-office gave; one that it never heard the beginning of has none. In 2.0.1
/// transactions keep their names, and those up to `late` are told after the back-office was away (E12.FR.01).
fn payload(next: &Relayed, late: i64) -> Value {
    let mut payload = next.payload.clone();
    if next.action == "TransactionEvent" && next.number <= late {
        payload["offline"] = json!(true);
    }
    if let Some(number) = payload.get_mut("transactionId") {
        *number = json!(next.theirs.unwrap_or(-1));
    }
    payload
}

async fn connect(
    relay: &Relay,
    station: &str,
    version: Version,
    clock: Arc<Clock>,
) -> Result<WebSocketStream<Io>, End> {
    let url = format!("{}/{station}", relay.url.trim_end_matches('/'));
    let mut request = url.into_client_request()?;
    let headers = request.headers_mut();
    let subprotocol = HeaderValue::from_static(version.subprotocol());
    headers.insert("Sec-WebSocket-Protocol", subprotocol);
    if let Some(password) = &relay.password {
        let coded = BASE64_STANDARD.encode(format!("{station}:{password}"));
        let value = HeaderValue::from_str(&format!("Basic {coded}"));
        let value = value.map_err(|error| End::Address(error.to_string()))?;
        headers.insert("Authorization", value);
    }
    let stream = relay.reach(request.uri(), clock).await?;
    let (socket, _) = client_async(request, stream).await?;
    Ok(socket)
}

impl Line<'_> {
    /// Asks, and waits for the answer.
    async fn call(&mut self, id: &str, action: &str, payload: &Value) -> Result<Answer, End> {
        let frame = json!([2, id, action, payload]).to_string();
        let until = Instant::now() + PATIENCE;
        self.send(frame).await?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(frame) = self.heard(left, None).await? else {
                return Err(End::Silent);
            };
            match (frame[0].as_i64(), frame[1] == json!(id)) {
                (Some(3), true) => return Ok(Ok(frame[2].clone())),
                (Some(4), true) => return Ok(Err(frame)),
                _ => {}
            }
        }
    }

    /// Nothing is to be told for so long, or until something is written.
    async fn idle(
        &mut self,
        time: Duration,
        written: Option<&watch::Receiver<u64>>,
    ) -> Result<(), End> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let changed = written.is_some_and(|one| one.has_changed().unwrap_or(false));
            if left.is_zero() || changed {
                return Ok(());
            }
            self.heard(left, written).await?;
        }
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        let sending = tokio::time::timeout(PATIENCE, self.socket.send(Message::text(text)));
        let sent = self.beat.during(sending).await;
        Ok(sent.map_err(|_| End::Silent)??)
    }

    /// The next answer; `None` when none has come in this time, or something was written. Requests are refused.
    async fn heard(
        &mut self,
        time: Duration,
        written: Option<&watch::Receiver<u64>>,
    ) -> Result<Option<Value>, End> {
        let until = Instant::now() + time;
        let changed = async {
            match written {
                // What the caller has not seen is not marked as seen here.
                Some(written) => drop(written.clone().changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::pin!(changed);
        loop {
            let message = tokio::select! {
                message = self.beat.during(self.socket.next()) => message,
                () = tokio::time::sleep_until(until) => return Ok(None),
                () = &mut changed => return Ok(None),
                () = stopped(&mut self.stop) => return Err(End::Stopping),
            };
            let text = match message {
                None | Some(Ok(Message::Close(_))) => return Err(End::Closed),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(_)) => continue,
            };
            let Ok(frame) = serde_json::from_str::<Value>(&text) else {
                continue;
            };
            if frame[0].as_i64() == Some(2) {
                let why = "this station is controlled by its depot";
                let refusal = json!([4, frame[1], "NotSupported", why, {}]);
                self.send(refusal.to_string()).await?;
                continue;
            }
            return Ok(Some(frame));
        }
    }
}
