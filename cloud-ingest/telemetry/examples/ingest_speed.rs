//! How fast sealed blocks become committed rows, beside a bare `COPY … BINARY` of the same rows into the same table.
//!
//! `PATIO_TEST_DATABASE_URLS='plain=postgres://…' cargo run --release -p telemetry --example ingest_speed`
//!
//! Four gateways send live blocks of a second: 100 vehicles with 20 signals each. One worker takes all of them, or two
//! share them.
#![allow(clippy::unwrap_used, reason = "an example may panic")]

use std::{pin::pin, time::Instant};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use platform::{
    Clock, Db, Register, migrate,
    testing::{TestDatabase, on_each_database},
};
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Column, Decimal, Encoding, Epoch, SampleBody, SignalDef,
    SignalRef, SigningKey, Source, Stream, catalogue, topic,
};
use telemetry::{Delivery, Ingestor, OutcomeKind, prepare_storage};

const VEHICLES: usize = 100;
const SIGNALS: usize = 20;
const GATEWAYS: usize = 4;
/// Of each gateway.
const BLOCKS: u64 = 300;
const BATCH: usize = 64;

fn main() {
    on_each_database(|database| async move { measure(&database).await });
}

/// The first signals of a vehicle, in steps of the catalogue.
fn columns() -> Vec<Column> {
    let signals = catalogue().signals().iter().take(SIGNALS);
    let column = |vehicle: usize, signal: &shared_protocol::Signal| Column {
        asset: format!("car-{vehicle}").parse().unwrap(),
        source: Source::Can,
        def: SignalDef {
            signal: SignalRef::Catalogue(signal.id),
            encoding: Encoding::Scaled {
                scale: signal.resolution,
                offset: Decimal::ZERO,
            },
        },
    };
    (0..VEHICLES)
        .flat_map(|vehicle| signals.clone().map(move |signal| column(vehicle, signal)))
        .collect()
}

struct Sender {
    name: String,
    key: SigningKey,
    offset: i64,
    columns: u32,
}

impl Sender {
    fn seal(&self, stream: Stream, seq: u64, body: Body) -> Delivery {
        let gateway = self.name.parse().unwrap();
        let topic = topic::up(&gateway, stream.class());
        let header = BlockHeader {
            gateway,
            number: BlockNumber {
                epoch: Epoch {
                    counter: 1,
                    nonce: 1,
                },
                stream,
                seq,
            },
            boot: 1,
            wall_offset_us: Some(self.offset),
            samples: body.len() as u32,
            thinned: 0,
            columns: self.columns,
        };
        let payload = Block { header, body }.seal(&self.key).unwrap().into();
        Delivery { topic, payload }
    }
}

async fn measure(database: &TestDatabase) {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), telemetry::room()])
        .await
        .unwrap();
    let clock = Clock::system();
    let server = prepare_storage(&db, clock.now()).await.unwrap().server;
    let values = (GATEWAYS * VEHICLES * SIGNALS) as u64 * BLOCKS;
    println!("{server}: {values} values");
    let mut best = 0.0f64;
    for workers in [1, 2] {
        let mut queues: Vec<Vec<Delivery>> = vec![Vec::new(); workers];
        let ingestor = Ingestor::new(db.clone(), clock.clone());
        for n in 0..GATEWAYS {
            let name = format!("bench-{workers}-{n}");
            queues[n % workers].extend(gateway(&db, &clock, &ingestor, name).await);
        }
        let start = Instant::now();
        let tasks: Vec<_> = queues
            .into_iter()
            .map(|queue| {
                let ingestor = ingestor.clone();
                tokio::spawn(async move {
                    for batch in queue.chunks(BATCH) {
                        assert!(stored(&ingestor, batch.to_vec()).await);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = values as f64 / start.elapsed().as_secs_f64();
        println!("  {workers} workers {rate:10.0} values/s");
        best = best.max(rate);
    }
    // Both runs' rows are there.
    let copy = 2.0 * values as f64 / copy_again(&db).await;
    println!("  bare COPY {copy:10.0} values/s");
    println!(
        "{{\"values_per_s\":{best:.0},\"copy_values_per_s\":{copy:.0},\"ratio_to_copy\":{:.3},\"flavour\":\"{}\"}}",
        best / copy,
        database.label
    );
}

/// Registers a gateway, has its columns stored, and seals its blocks.
async fn gateway(db: &Db, clock: &Clock, ingestor: &Ingestor, name: String) -> Vec<Delivery> {
    let columns = columns();
    let sender = Sender {
        name,
        key: SigningKey::from_seed([1; 32]),
        offset: clock.now().as_microsecond() - 3_600_000_000,
        columns: columns.len() as u32,
    };
    Register::new(db.clone(), clock.clone())
        .add_gateway(
            "bench",
            &sender.name.parse().unwrap(),
            &sender.key.verifying_key(),
        )
        .await
        .unwrap();
    let definitions = Body::Columns {
        first: 0,
        columns: columns.clone(),
    };
    let definitions = sender.seal(Stream::Columns, 0, definitions);
    assert!(stored(ingestor, vec![definitions]).await);
    (0..BLOCKS)
        .map(|second| {
            let samples = columns.iter().zip(0u32..).map(|(column, number)| {
                let SignalRef::Catalogue(id) = &column.def.signal else {
                    unreachable!("all are of the catalogue")
                };
                let (least, greatest) = catalogue().get(*id).unwrap().raw_range();
                let raw =
                    least + (second as i64 * 7 + i64::from(number)) % (greatest - least).min(1000);
                (number, second as i64 * 1_000_000, raw)
            });
            let body = Body::Samples(SampleBody::from_samples(samples.collect::<Vec<_>>()));
            sender.seal(Stream::Live, second, body)
        })
        .collect()
}

async fn stored(ingestor: &Ingestor, batch: Vec<Delivery>) -> bool {
    let outcomes = ingestor.ingest(batch).await;
    outcomes
        .iter()
        .all(|outcome| matches!(outcome.result, OutcomeKind::Stored { new: true, .. }))
}

/// Takes the rows out of the table and copies them in again, in as many transactions; returns the seconds.
async fn copy_again(db: &Db) -> f64 {
    let mut client = db.owner().await.unwrap();
    let signals: Vec<&str> = catalogue()
        .signals()
        .iter()
        .take(SIGNALS)
        .map(|signal| signal.column.as_str())
        .collect();
    let list = format!("time, asset_id, source, \"{}\"", signals.join("\", \""));
    let row = client
        .query_one("SELECT min(time), max(time) FROM telemetry.sample", &[])
        .await
        .unwrap();
    let (first, last): (Timestamp, Timestamp) = (row.get(0), row.get(1));
    let mut batches = Vec::new();
    let mut from = first.as_microsecond();
    while from <= last.as_microsecond() {
        let to = from + BATCH as i64 * 1_000_000;
        let sql = format!(
            "COPY (SELECT {list} FROM telemetry.sample WHERE time >= to_timestamp({from} / 1e6) \
             AND time < to_timestamp({to} / 1e6)) TO STDOUT BINARY"
        );
        let mut out = pin!(client.copy_out(&sql).await.unwrap());
        let mut bytes = BytesMut::new();
        while let Some(piece) = out.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        batches.push(bytes.freeze());
        from = to;
    }
    client
        .batch_execute("TRUNCATE telemetry.sample")
        .await
        .unwrap();
    let start = Instant::now();
    for bytes in batches {
        let tx = client.transaction().await.unwrap();
        let sql = format!("COPY telemetry.sample ({list}) FROM STDIN BINARY");
        let mut sink = pin!(tx.copy_in::<_, Bytes>(&sql).await.unwrap());
        sink.send(bytes).await.unwrap();
        sink.finish().await.unwrap();
        tx.commit().await.unwrap();
    }
    start.elapsed().as_secs_f64()
}
