//! A migrated database with an ingestor, gateways that seal blocks, and what of them is found in the tables.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use platform::{Client, Clock, Db, Failure, Hand, Register, migrate, testing::TestDatabase};
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Column, Digest, Encoding, Epoch, GatewayId, Record,
    SampleBody, SignalDef, SignalRef, SigningKey, Source, Stream, catalogue, topic,
};
use telemetry::{Delivery, Ingestor, Outcome, OutcomeKind, prepare_storage};

/// 2026-09-21, the time of every test.
pub(crate) const NOW_US: i64 = 1_790_000_000_000_000;

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) ingestor: Ingestor,
    pub(crate) register: Register,
    pub(crate) clock: Clock,
    pub(crate) hand: Hand,
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_microsecond(NOW_US).unwrap()
}

impl World {
    pub(crate) async fn on(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        migrate(&db, &[platform::room(), telemetry::room()])
            .await
            .unwrap();
        prepare_storage(&db, now()).await.unwrap();
        let (clock, hand) = Clock::by_hand(now());
        Self {
            ingestor: Ingestor::new(db.clone(), clock.clone()),
            register: Register::new(db.clone(), clock.clone()),
            db,
            clock,
            hand,
        }
    }

    /// Another ingestor on the same database, as in another process.
    pub(crate) fn another(&self) -> Ingestor {
        Ingestor::new(self.db.clone(), self.clock.clone())
    }

    pub(crate) async fn client(&self) -> Client {
        self.db.system().await.unwrap()
    }

    pub(crate) async fn ingest(&self, sent: &[&Sent]) -> Vec<Outcome> {
        let deliveries = sent.iter().map(|sent| sent.delivery()).collect();
        self.ingestor.ingest(deliveries).await
    }

    /// Delivers one block and returns what became of it.
    pub(crate) async fn one(&self, sent: &Sent) -> OutcomeKind {
        self.ingest(&[sent]).await.remove(0).result
    }

    /// One number. Connections that a test has ended may still be in the pool: they are passed over.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        loop {
            match self.client().await.query_one(sql, &[]).await {
                Ok(row) => return row.get(0),
                Err(error) if Failure::of(&error) == Failure::Connection => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{sql}: {error:?}"),
            }
        }
    }

    /// A registered gateway with an epoch of its own.
    pub(crate) async fn gateway(&self, name: &str) -> Gateway {
        let gateway = Gateway::new(name);
        let key = gateway.key.verifying_key();
        self.register
            .add_gateway("acme", &gateway.id, &key)
            .await
            .unwrap();
        gateway
    }
}

/// A block as it is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: Bytes,
    pub(crate) block: Block,
    pub(crate) digest: Digest,
    pub(crate) topic: String,
}

impl Sent {
    pub(crate) fn delivery(&self) -> Delivery {
        Delivery {
            topic: self.topic.clone(),
            payload: self.bytes.clone(),
        }
    }

    pub(crate) fn number(&self) -> BlockNumber {
        self.block.header.number
    }
}

/// Bytes that are no block, or not any more.
pub(crate) fn raw(gateway: &Gateway, bytes: impl Into<Vec<u8>>) -> Delivery {
    Delivery {
        topic: topic::up(&gateway.id, Stream::Live.class()),
        payload: Bytes::from(bytes.into()),
    }
}

pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    pub(crate) key: SigningKey,
    pub(crate) epoch: Epoch,
    pub(crate) boot: u64,
    pub(crate) offset: Option<i64>,
    pub(crate) columns: Vec<Column>,
    next: [u64; 5],
}

impl Gateway {
    /// Not registered yet. The key is made of the name.
    pub(crate) fn new(name: &str) -> Self {
        let mut seed = [7; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        Self {
            id: name.parse().unwrap(),
            key: SigningKey::from_seed(seed),
            epoch: Epoch {
                counter: 1,
                nonce: u64::MAX - 5,
            },
            boot: u64::MAX - 9,
            offset: Some(NOW_US - 3_600_000_000),
            columns: Vec::new(),
            next: [0; 5],
        }
    }

    pub(crate) fn seal_as(
        &self,
        number: BlockNumber,
        body: Body,
        samples: u32,
        thinned: u32,
    ) -> Sent {
        let block = Block {
            header: BlockHeader {
                gateway: self.id.clone(),
                number,
                boot: self.boot,
                wall_offset_us: self.offset,
                samples,
                thinned,
                columns: self.columns.len() as u32,
            },
            body,
        };
        let bytes = block.seal(&self.key).unwrap();
        Sent {
            digest: Digest::of(&bytes),
            bytes: bytes.into(),
            topic: topic::up(&self.id, number.stream.class()),
            block,
        }
    }

    pub(crate) fn number(&mut self, stream: Stream) -> BlockNumber {
        let next = &mut self.next[usize::from(stream.number())];
        *next += 1;
        BlockNumber {
            epoch: self.epoch,
            stream,
            seq: *next - 1,
        }
    }

    /// The next block of a stream.
    pub(crate) fn seal(&mut self, stream: Stream, body: Body) -> Sent {
        let number = self.number(stream);
        let samples = body.len() as u32;
        self.seal_as(number, body, samples, 0)
    }

    /// Defines further columns.
    pub(crate) fn define(&mut self, columns: &[Column]) -> Sent {
        let first = self.columns.len() as u32;
        self.columns.extend_from_slice(columns);
        let columns = columns.to_vec();
        self.seal(Stream::Columns, Body::Columns { first, columns })
    }

    pub(crate) fn samples(&mut self, stream: Stream, samples: &[(u32, i64, i64)]) -> Sent {
        let body = SampleBody::from_samples(samples.iter().copied());
        self.seal(stream, Body::Samples(body))
    }

    pub(crate) fn record(&mut self, kind: &str, payload: &str) -> Sent {
        let record = Record {
            time_us: 77,
            asset: Some("car-a".parse().unwrap()),
            kind: kind.into(),
            payload: payload.into(),
        };
        self.seal(Stream::Critical, Body::Records(vec![record]))
    }

    /// A new life of its database.
    pub(crate) fn new_epoch(&mut self) {
        self.epoch.counter += 1;
        self.next = [0; 5];
        self.columns.clear();
    }
}

fn column(asset: &str, source: Source, signal: SignalRef, encoding: Encoding) -> Column {
    Column {
        asset: asset.parse().unwrap(),
        source,
        def: SignalDef { signal, encoding },
    }
}

pub(crate) fn scaled(scale: &str, offset: &str) -> Encoding {
    Encoding::Scaled {
        scale: scale.parse().unwrap(),
        offset: offset.parse().unwrap(),
    }
}

pub(crate) fn known(asset: &str, source: Source, name: &str, scale: &str) -> Column {
    let id = catalogue().by_name(name).unwrap().id;
    column(asset, source, SignalRef::Catalogue(id), scaled(scale, "0"))
}

pub(crate) fn named(asset: &str, name: &str, encoding: Encoding) -> Column {
    let signal = SignalRef::Named {
        name: name.into(),
        unit: "degC".into(),
    };
    column(asset, Source::Can, signal, encoding)
}

/// Columns of every kind: exact, converted, two sources, outside the catalogue in each encoding, two assets.
pub(crate) fn columns() -> Vec<Column> {
    let unsigned = Encoding::Unsigned {
        scale: "0.1".parse().unwrap(),
        offset: "-3".parse().unwrap(),
    };
    vec![
        known("car-a", Source::Can, "Vehicle.Speed", "0.01"),
        known("car-a", Source::Can, "Vehicle.TraveledDistance", "0.05"),
        known("car-a", Source::Obd, "Vehicle.Speed", "1"),
        known("car-b", Source::Can, "Vehicle.Speed", "0.01"),
        named("car-a", "M.Temp", scaled("0.390625", "-40")),
        named("car-a", "M.Count", unsigned),
        named("car-b", "M.Float", Encoding::Float),
        known("meter-1", Source::Modbus, "W", "1"),
    ]
}

/// Index of the column with IEEE bits in [`columns`].
pub(crate) const FLOAT_COLUMN: u32 = 6;

/// A stored value: asset, source, column or name, time, and the stored integer or the bits of the stored float.
pub(crate) type Value = (String, i16, String, i64, i64);

/// The values that a block's samples have to become.
pub(crate) fn truth(gateway: &Gateway, sent: &Sent) -> Vec<Value> {
    let Body::Samples(body) = &sent.block.body else {
        return Vec::new();
    };
    let offset = sent.block.header.wall_offset_us.or(gateway.offset).unwrap();
    body.iter()
        .map(|(number, time, raw)| {
            let column = &gateway.columns[number as usize];
            let (name, stored) = match &column.def.signal {
                SignalRef::Catalogue(id) => {
                    let signal = catalogue().get(*id).unwrap();
                    let steps = column.def.encoding.in_steps_of(raw, signal.resolution);
                    (signal.column.clone(), steps.unwrap())
                }
                SignalRef::Named { name, .. } => (name.clone(), raw),
            };
            let source = column.source.number();
            (
                column.asset.to_string(),
                source,
                name,
                time + offset,
                stored,
            )
        })
        .collect()
}

/// The values that are stored of a gateway's assets, sorted.
pub(crate) async fn stored(client: &Client, gateway: &Gateway) -> Vec<Value> {
    let wide = "SELECT m.local_key, s.source, v.key, (extract(epoch FROM s.time) * 1000000)::bigint, v.value::bigint
        FROM telemetry.sample AS s
        JOIN platform.gateway_asset AS m ON m.asset_id = s.asset_id
        JOIN platform.gateway AS g ON g.id = m.gateway_id
        CROSS JOIN LATERAL jsonb_each_text(to_jsonb(s) - ARRAY['time', 'asset_id', 'source']) AS v
        WHERE g.name = $1 AND v.value IS NOT NULL";
    let narrow = "SELECT m.local_key, x.source, x.name, (extract(epoch FROM e.time) * 1000000)::bigint, e.raw, e.value
        FROM telemetry.extra AS e
        JOIN telemetry.extra_signal AS x ON x.id = e.signal_id
        JOIN platform.gateway_asset AS m ON m.asset_id = x.asset_id
        JOIN platform.gateway AS g ON g.id = m.gateway_id
        WHERE g.name = $1";
    let name = gateway.id.as_str();
    let mut values: Vec<Value> = Vec::new();
    for row in client.query(wide, &[&name]).await.unwrap() {
        values.push((row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)));
    }
    for row in client.query(narrow, &[&name]).await.unwrap() {
        let (raw, float): (Option<i64>, Option<f64>) = (row.get(4), row.get(5));
        assert!(raw.is_some() != float.is_some(), "one of both");
        let number = raw.unwrap_or_else(|| float.unwrap().to_bits().cast_signed());
        values.push((row.get(0), row.get(1), row.get(2), row.get(3), number));
    }
    values.sort();
    values
}

/// The latest of each signal among values, as the tables of latest values have to say it.
pub(crate) fn latest_of(values: &[Value]) -> Vec<Value> {
    let mut sorted = values.to_vec();
    let key = |v: &Value| (v.0.clone(), v.1, v.2.clone());
    sorted.sort_by(|a, b| key(a).cmp(&key(b)).then(b.3.cmp(&a.3)).then(b.4.cmp(&a.4)));
    sorted.dedup_by(|later, first| key(later) == key(first));
    sorted
}

/// What the tables of latest values say of a gateway's assets, sorted.
pub(crate) async fn stored_latest(client: &Client, gateway: &Gateway) -> Vec<Value> {
    let sql = "SELECT m.local_key, l.source, s.column_name, (extract(epoch FROM u.time) * 1000000)::bigint, u.steps
        FROM telemetry.latest AS l
        CROSS JOIN LATERAL unnest(l.signals, l.times, l.steps) AS u (signal, time, steps)
        JOIN telemetry.signal AS s ON s.id = u.signal
        JOIN platform.gateway_asset AS m ON m.asset_id = l.asset_id
        JOIN platform.gateway AS g ON g.id = m.gateway_id
        WHERE g.name = $1
        UNION ALL
        SELECT m.local_key, l.source, s.name, (extract(epoch FROM u.time) * 1000000)::bigint, u.raw
        FROM telemetry.extra_latest AS l
        CROSS JOIN LATERAL unnest(l.signals, l.times, l.raws) AS u (signal, time, raw)
        JOIN telemetry.extra_signal AS s ON s.id = u.signal
        JOIN platform.gateway_asset AS m ON m.asset_id = l.asset_id
        JOIN platform.gateway AS g ON g.id = m.gateway_id
        WHERE g.name = $1 AND u.raw IS NOT NULL";
    let rows = client.query(sql, &[&gateway.id.as_str()]).await.unwrap();
    let mut values: Vec<Value> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
        .collect();
    values.sort();
    values
}

pub(crate) fn is_stored(result: &OutcomeKind) -> bool {
    matches!(result, OutcomeKind::Stored { .. })
}
