//! A station that lives: it looks at its socket, connects, tells one thing at a time and answers.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use super::{
    flash::Flash,
    orders::{self, Act, Asked as Order},
    socket::Socket,
    story::{Seen, Story},
    words::{self, Words},
};
use crate::{
    chance::Chance, depot::Shared, faults::Fault, truth::sessions::SessionLog, yard::Status,
};

/// How often it looks at its socket.
const LOOK: Duration = Duration::from_millis(100);
/// How long it waits for a connection, and for an answer, before it begins anew.
const PATIENCE: Duration = Duration::from_secs(15);
/// A station whose boot was not accepted asks again after this time at most, be the central system as slow as it likes.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a station is gone that starts anew, in s of wall time.
const REBOOT_SECONDS: f64 = 2.0;

type WebSocket = WebSocketStream<TcpStream>;
type Connecting = Pin<Box<dyn Future<Output = Option<WebSocket>> + Send>>;

/// All stations, as they are seen from outside: by name those that speak OCPP.
#[derive(Debug)]
pub struct Plugs {
    stations: Vec<Arc<Plug>>,
    /// Whether those that tell nothing are empty for good.
    watched: Vec<Arc<AtomicBool>>,
    closing: Arc<AtomicBool>,
}

/// One of them.
#[derive(Debug)]
struct Plug {
    key: String,
    index: usize,
    cut: Notify,
    idle: AtomicBool,
    told: AtomicU64,
    refused: AtomicU64,
}

impl Plugs {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            stations: Vec::new(),
            watched: Vec::new(),
            closing: Arc::default(),
        }
    }

    /// One more: number `index` of the world.
    pub(crate) fn add(&mut self, line: &Line) {
        self.stations.push(Arc::clone(&line.plug));
    }

    /// One more that tells nothing: whether all is to end, and where to say that it has ended there.
    pub(super) fn watch(&mut self) -> (Arc<AtomicBool>, Arc<AtomicBool>) {
        let idle = Arc::<AtomicBool>::default();
        self.watched.push(Arc::clone(&idle));
        (Arc::clone(&self.closing), idle)
    }

    /// The number in the world of the station with this key.
    pub fn index(&self, key: &str) -> Option<usize> {
        let station = self.stations.iter().find(|station| station.key == key);
        station.map(|station| station.index)
    }

    /// The connection of a station breaks, whatever it is doing. False when there is no such station.
    pub fn cut(&self, key: &str) -> bool {
        let station = self.stations.iter().find(|station| station.key == key);
        station.map(|station| station.cut.notify_one()).is_some()
    }

    /// Ends all transactions and begins no more; returns when all was told and answered, or read where nothing is told: how many
    /// messages of transactions there were, and how many of them the central system has refused.
    pub async fn finish(&self) -> (u64, u64) {
        self.closing.store(true, Ordering::Release);
        let own = || self.stations.iter().map(|station| &station.idle);
        let all = || own().chain(self.watched.iter().map(|idle| &**idle));
        while !all().all(|idle| idle.load(Ordering::Acquire)) {
            tokio::time::sleep(LOOK / 2).await;
        }
        let sum = |of: fn(&Plug) -> &AtomicU64| {
            let each = self.stations.iter();
            each.map(|station| of(station).load(Ordering::Relaxed))
                .sum()
        };
        (
            sum(|station| &station.told),
            sum(|station| &station.refused),
        )
    }
}

/// A station.
pub(crate) struct Line {
    shared: Arc<Shared>,
    plug: Arc<Plug>,
    closing: Arc<AtomicBool>,
    words: Words,
    url: String,
    authorization: String,
    chance: Chance,
    socket: Socket,
    flash: Flash,
    status: Option<Status>,
    /// The limit that its socket was told, in A.
    limit: Option<f64>,
    connecting: Option<Connecting>,
    try_at: Instant,
    wire: Option<Wire>,
    messages: u64,
}

/// A connection.
struct Wire {
    socket: WebSocket,
    /// The request without an answer.
    asked: Option<Asked>,
    booted: bool,
    boot_at: Instant,
    /// What is of the moment.
    fresh: VecDeque<words::Message>,
}

struct Asked {
    id: String,
    about: About,
    until: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum About {
    Boot,
    Moment,
    Transaction,
}

/// Who a station is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) version: super::Version,
    pub(crate) password: String,
    /// Its number in the world.
    pub(crate) index: usize,
}

impl Line {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        log: &Arc<SessionLog>,
        plugs: &Plugs,
        central: &super::Central,
        identity: &Identity,
        seed: u64,
    ) -> Self {
        let Identity { key, id, .. } = identity;
        let serial = shared.world().chargers[identity.index].serial;
        let coded = BASE64_STANDARD.encode(format!("{id}:{}", identity.password));
        // Names of transactions are not those of an earlier depot of the same seed.
        let begun = jiff::Timestamp::now().as_second();
        let drivers = Chance::new(seed, &format!("{key}/drivers"));
        let story = Story::new(id.clone(), true);
        Self {
            shared: Arc::clone(shared),
            plug: Arc::new(Plug {
                key: key.clone(),
                index: identity.index,
                cut: Notify::new(),
                idle: AtomicBool::new(false),
                told: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }),
            closing: Arc::clone(&plugs.closing),
            words: Words {
                version: identity.version,
                serial: serial.to_string(),
                prefix: format!("{serial}-{begun:x}"),
            },
            url: format!("{}/{id}", central.url),
            authorization: format!("Basic {coded}"),
            chance: Chance::new(seed, &format!("{key}/line")),
            socket: Socket::new(
                shared,
                log,
                identity.index,
                story,
                ((central.restless, 0.0), drivers),
            ),
            flash: Flash::new(),
            status: None,
            limit: None,
            connecting: None,
            try_at: Instant::now(),
            wire: None,
            messages: 0,
        }
    }

    /// Lives until the depot stops.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (shared, plug) = (Arc::clone(&self.shared), Arc::clone(&self.plug));
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => break,
                () = plug.cut.notified() => self.lose(),
                _ = ticks.tick() => if shared.is_producing() {
                    self.look();
                },
                socket = connected(&mut self.connecting) => self.connected(socket),
                frame = heard(&mut self.wire) => match frame {
                    Some(text) => self.frame(&text).await,
                    None => self.lose(),
                },
            }
            if shared.is_producing() {
                self.speak().await;
            }
        }
        self.socket.stop();
    }

    /// What is seen at the socket, and whether the station is without power.
    fn seen(&self) -> (Seen, bool) {
        (
            self.socket.seen(),
            self.socket.of(|charger| charger.is_rebooting()),
        )
    }

    fn look(&mut self) {
        let (seen, dark) = self.seen();
        let (now, offline) = (words::now(), self.wire.is_none());
        if dark {
            self.go_dark(now, &seen, "PowerLoss");
            return;
        }
        if self.closing.load(Ordering::Acquire) {
            self.socket.story.close();
        }
        let (told, is_new) = self.socket.look(now, &seen, self.flash.interval, offline);
        self.flash.keep(told);
        if self.status.replace(seen.status) != Some(seen.status) {
            let message = self.words.status(now, seen.status);
            self.moment(message);
        }
        if is_new && let (Some(_), Some(car)) = (self.socket.story.session(), &seen.car) {
            let message = self.words.authorize(&super::token(car));
            self.moment(message);
        }
        self.socket.part();
        self.obey(now);
        let idle = self.socket.story.session().is_none()
            && self.flash.waiting() == 0
            && self.closing.load(Ordering::Acquire);
        self.plug.idle.store(idle, Ordering::Release);
    }

    /// The transaction that goes on, in its version's words.
    fn transaction(&self) -> Value {
        match (self.socket.story.session(), self.words.version) {
            (None, _) => Value::Null,
            (Some(session), super::Version::V16) => json!(self.flash.number(session)),
            (Some(session), super::Version::V201) => json!(self.words.name(session)),
        }
    }

    /// Tells the socket what it may give, when that has changed.
    fn obey(&mut self, now: jiff::Timestamp) {
        let transaction = self.transaction();
        let mut world = self.shared.world();
        let charger = &mut world.chargers[self.plug.index];
        let limit = self
            .flash
            .profiles
            .limit(now, &transaction, charger.rated_current);
        if self.limit != Some(limit) {
            charger.write_limit(limit);
            self.limit = Some(limit);
        }
    }

    /// It is without power, or starts anew: what is not in its flash is gone.
    fn go_dark(&mut self, now: jiff::Timestamp, seen: &Seen, reason: &'static str) {
        let told = self.socket.end(now, seen, reason, true);
        self.flash.keep(told);
        self.flash.profiles.reboot();
        (self.status, self.limit, self.socket.leaves) = (None, None, None);
        self.connecting = None;
        self.lose();
    }

    fn moment(&mut self, message: words::Message) {
        if let Some(wire) = &mut self.wire {
            wire.fresh.push_back(message);
        }
    }

    /// The connection is gone.
    fn lose(&mut self) {
        self.wire = None;
        let pause = Duration::from_secs_f64(self.chance.between(0.1, 0.8));
        self.try_at = Instant::now() + pause;
    }

    fn connected(&mut self, socket: Option<WebSocket>) {
        self.connecting = None;
        let Some(socket) = socket else {
            self.lose();
            return;
        };
        self.wire = Some(Wire {
            socket,
            asked: None,
            booted: false,
            boot_at: Instant::now(),
            fresh: VecDeque::new(),
        });
    }

    /// Connects, or sends what comes next, unless an answer is still to come.
    async fn speak(&mut self) {
        let now = Instant::now();
        let dark = self.seen().1;
        let Some(wire) = &mut self.wire else {
            if self.connecting.is_none() && self.try_at <= now && !dark {
                let (url, authorization) = (self.url.clone(), self.authorization.clone());
                let subprotocol = self.words.version.subprotocol();
                self.connecting = Some(Box::pin(connect(url, authorization, subprotocol)));
            }
            return;
        };
        if let Some(asked) = &wire.asked {
            if asked.until <= now {
                self.lose();
            }
            return;
        }
        let (about, message) = if !wire.booted {
            if wire.boot_at > now {
                return;
            }
            (About::Boot, self.words.boot())
        } else if let Some(message) = wire.fresh.pop_front() {
            (About::Moment, message)
        } else if let Some(tell) = self.flash.next() {
            let number = self.flash.number(tell.session);
            (About::Transaction, self.words.tell(tell, number))
        } else {
            return;
        };
        self.messages += 1;
        let id = self.messages.to_string();
        wire.asked = Some(Asked {
            id: id.clone(),
            about,
            until: now + PATIENCE,
        });
        let frame = json!([2, id, message.0, message.1]).to_string();
        if !send(&mut wire.socket, frame).await {
            self.lose();
        } else if about == About::Transaction
            && self.shared.faults.strikes(&self.plug.key, Fault::Cut, 1.0)
        {
            // Whether it has arrived nobody knows.
            self.lose();
        }
    }

    async fn frame(&mut self, text: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return;
        };
        match frame[0].as_i64() {
            Some(2) => self.called(&frame).await,
            Some(kind) => self.answered(kind, &frame),
            None => {}
        }
    }

    fn answered(&mut self, kind: i64, frame: &Value) {
        let Some(wire) = &mut self.wire else { return };
        let Some(asked) = wire.asked.take_if(|asked| frame[1] == json!(asked.id)) else {
            return;
        };
        let answer = &frame[2];
        match asked.about {
            About::Moment => {}
            About::Boot => {
                wire.booted = kind == 3 && answer["status"] == "Accepted";
                wire.boot_at = Instant::now() + ASK_AGAIN;
                if wire.booted {
                    // Its status is told anew.
                    self.status = None;
                }
            }
            About::Transaction => {
                self.plug.told.fetch_add(1, Ordering::Relaxed);
                if kind != 3 {
                    tracing::error!(station = self.plug.key, %frame, "a message of a transaction is refused");
                    self.plug.refused.fetch_add(1, Ordering::Relaxed);
                }
                self.flash.answered(answer["transactionId"].as_i64());
            }
        }
    }

    async fn called(&mut self, frame: &Value) {
        let transaction = self.transaction();
        let (id, action) = (&frame[1], frame[2].as_str().unwrap_or_default());
        let version = self.words.version;
        let composite = action == "GetCompositeSchedule";
        let order = Order {
            now: words::now(),
            transaction: &transaction,
            rated: self.shared.world().chargers[self.plug.index].rated_current,
            overstates: composite
                && self
                    .shared
                    .faults
                    .strikes(&self.plug.key, Fault::Overstate, 1.0),
        };
        let answer = orders::answer(version, action, &frame[3], &order, &mut self.flash);
        let (said, act) = match answer {
            Some((payload, act)) => (json!([3, id, payload]), act),
            None => (
                json!([
                    4,
                    id,
                    "NotImplemented",
                    format!("{action} is not done here"),
                    {}
                ]),
                Act::Nothing,
            ),
        };
        if let Some(wire) = &mut self.wire
            && !send(&mut wire.socket, said.to_string()).await
        {
            self.lose();
        }
        let now = words::now();
        match act {
            Act::Nothing => {}
            Act::Reboot => {
                let seen = self.seen().0;
                self.go_dark(now, &seen, "Reboot");
                self.socket.of(|charger| charger.reboot(REBOOT_SECONDS));
            }
            Act::End => {
                let (seen, offline) = (self.seen().0, self.wire.is_none());
                let told = self.socket.end(now, &seen, "Remote", offline);
                self.flash.keep(told);
                self.socket.pull();
            }
            Act::Unlock => self.socket.pull(),
        }
    }
}

async fn connect(
    url: String,
    authorization: String,
    subprotocol: &'static str,
) -> Option<WebSocket> {
    let connecting = async {
        let mut request = url.into_client_request().ok()?;
        let headers = request.headers_mut();
        headers.insert(
            "Sec-WebSocket-Protocol",
            HeaderValue::from_static(subprotocol),
        );
        headers.insert("Authorization", authorization.parse().ok()?);
        let address = request.uri().authority()?.as_str().to_owned();
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        match client_async(request, stream).await {
            Ok((socket, _)) => Some(socket),
            Err(Error::Http(response)) => {
                tracing::warn!(status = %response.status(), "the central system turns a station away");
                None
            }
            Err(_) => None,
        }
    };
    tokio::time::timeout(PATIENCE, connecting)
        .await
        .ok()
        .flatten()
}

async fn connected(connecting: &mut Option<Connecting>) -> Option<WebSocket> {
    match connecting {
        Some(connecting) => connecting.await,
        None => std::future::pending().await,
    }
}

/// The next text; `None` when the connection has ended.
async fn heard(wire: &mut Option<Wire>) -> Option<String> {
    let Some(wire) = wire else {
        return std::future::pending().await;
    };
    loop {
        match wire.socket.next().await? {
            Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn send(socket: &mut WebSocket, text: String) -> bool {
    let sent = tokio::time::timeout(PATIENCE, socket.send(Message::text(text))).await;
    matches!(sent, Ok(Ok(())))
}
