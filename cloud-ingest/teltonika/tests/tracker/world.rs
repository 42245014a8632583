//! A server in this process on a migrated database, and a tracker that dials it.

use std::{net::SocketAddr, time::Duration};

use devices::{Kind, Register, Sink};
use jiff::Timestamp;
use platform::{Clock, Db, testing::TestDatabase};
use telemetry::prepare_storage;
use teltonika::{
    Element, Gnss, Imei, Packet, Record, RecordCodec, Value, avl, login,
    server::{Server, Settings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// A generous end of waiting.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// 2026-09-21, the time of every test.
pub(crate) const NOW_MS: i64 = 1_790_000_000_000;
pub(crate) const IMEI: &str = "356307042441013";

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl World {
    pub(crate) async fn on(database: &TestDatabase) -> Self {
        Self::with(database, |_| {}).await
    }

    pub(crate) async fn with(database: &TestDatabase, change: impl FnOnce(&mut Settings)) -> Self {
        let db = database.connect().await;
        let rooms = [platform::room(), telemetry::room(), devices::room()];
        platform::migrate(&db, &rooms).await.unwrap();
        let now = Timestamp::from_millisecond(NOW_MS).unwrap();
        prepare_storage(&db, now).await.unwrap();
        let (clock, _) = Clock::by_hand(now);
        let platform = platform::Register::new(db.clone(), clock.clone());
        platform.add_organization("acme").await.unwrap();
        let register = Register::new(db.clone(), clock.clone());
        register
            .add("acme", Kind::Teltonika, IMEI, None)
            .await
            .unwrap();
        let mut settings = Settings::on("127.0.0.1:0".parse().unwrap());
        change(&mut settings);
        let server = Server::bind(settings).await.unwrap();
        let stop = CancellationToken::new();
        Self {
            address: server.address().unwrap(),
            server: tokio::spawn(server.run(
                Sink::new(db.clone(), clock.clone()),
                avl::shipped(),
                stop.clone(),
            )),
            db,
            clock,
            stop,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.server).await.unwrap().unwrap();
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let client = self.db.system().await.unwrap();
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// How many records are stored.
    pub(crate) async fn records(&self) -> i64 {
        self.count("SELECT coalesce(sum(records), 0)::bigint FROM devices.device")
            .await
    }

    /// Waits until a count is what it should be.
    pub(crate) async fn until(&self, sql: &str, expected: i64) {
        let reached = timeout(LONG, async {
            while self.count(sql).await != expected {
                sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(reached.await.is_ok(), "{sql} did not become {expected}");
    }

    pub(crate) async fn dial(&self, imei: &str) -> (TcpStream, u8) {
        let imei: Imei = imei.parse().unwrap();
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&login(imei)).await.unwrap();
        let answer = timeout(LONG, stream.read_u8()).await.unwrap().unwrap();
        (stream, answer)
    }
}

/// A record of a moment, with a state of charge.
pub(crate) fn record(at: i64, charge: u8) -> Record {
    Record {
        time_ms: NOW_MS - 3_600_000 + at * 1000,
        priority: 0,
        gnss: Gnss {
            longitude: -1_165_000_000,
            latitude: 325_000_000,
            altitude: 20,
            angle: 90,
            satellites: 9,
            speed: 30,
        },
        event: 0,
        generation: None,
        elements: vec![
            Element {
                id: 411,
                value: Value::Number {
                    width: 1,
                    raw: charge.into(),
                },
            },
            Element {
                id: 7000,
                value: Value::Number { width: 4, raw: 5 },
            },
        ],
    }
}

pub(crate) fn packet(records: impl IntoIterator<Item = Record>) -> Packet {
    Packet::Records(RecordCodec::EightExtended, records.into_iter().collect())
}

/// Sends a frame and returns how many records are acknowledged; `None`: the server hung up.
pub(crate) async fn send(stream: &mut TcpStream, frame: &[u8]) -> Option<u32> {
    stream.write_all(frame).await.ok()?;
    timeout(LONG, stream.read_u32()).await.unwrap().ok()
}
