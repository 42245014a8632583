//! Sealed blocks to committed rows, and the same rows by a bare COPY. Both with one and with two connections; the best
//! of each counts. Beside it the processor time that both take, which does not depend on what else the machine does: of
//! this process and of the server's for this database, where that is on this machine.

use std::{pin::pin, time::Instant};

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use platform::{Clock, Db};
use telemetry::{Delivery, Ingestor, OutcomeKind};

use crate::depot::{Gateway, VALUES, signals};

const GATEWAYS: usize = 8;
/// Blocks of each gateway.
const BLOCKS: u64 = 384;
/// Blocks in a transaction: the configuration's default.
const BATCH: usize = 256;
const CONNECTIONS: [usize; 2] = [1, 2];

pub(crate) struct Rows {
    pub(crate) values_per_s: f64,
    pub(crate) copy_values_per_s: f64,
    pub(crate) bytes_per_value: f64,
    /// Processor time of the blocks' way, and that of COPY, in ns for each value; the least of one and two connections.
    pub(crate) cpu_ns: f64,
    pub(crate) copy_cpu_ns: f64,
}

pub(crate) async fn measure(db: &Db) -> Result<Rows> {
    let values = (GATEWAYS as u64 * BLOCKS * VALUES) as f64;
    let (mut ours, mut copied, mut bytes_per_value) = (0.0f64, 0.0f64, 0.0);
    let (mut cpu_ns, mut copy_cpu_ns) = (f64::INFINITY, f64::INFINITY);
    for connections in CONNECTIONS {
        let ingestor = Ingestor::new(db.clone(), Clock::system());
        let mut queues: Vec<Vec<Delivery>> = vec![Vec::new(); connections];
        let mut gateways = Vec::new();
        for n in 0..GATEWAYS {
            let gateway = Gateway::new(db, &format!("rows-{connections}-{n}"), 7200).await?;
            ensure!(stored(&ingestor, vec![gateway.definitions()?]).await);
            gateways.push(gateway);
        }
        for second in 0..BLOCKS {
            for (n, gateway) in gateways.iter().enumerate() {
                queues[n % connections].push(gateway.live(second)?);
            }
        }
        let cpu = cpu_s(db).await?;
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for queue in queues {
            let ingestor = ingestor.clone();
            tasks.push(tokio::spawn(async move {
                for batch in queue.chunks(BATCH) {
                    ensure!(stored(&ingestor, batch.to_vec()).await, "not stored");
                }
                Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        let rate = values / begun.elapsed().as_secs_f64();
        let used = (cpu_s(db).await? - cpu) * 1e9 / values;
        println!(
            "  blocks, {connections} at a time: {rate:>10.0} values/s, {used:>4.0} ns of processor time each"
        );
        (ours, cpu_ns) = (ours.max(rate), cpu_ns.min(used));
        bytes_per_value = bytes(db).await? / values;
        let batches = take_out(db).await?;
        let cpu = cpu_s(db).await?;
        let again = values / copy_in(db, batches, connections).await?;
        let used = (cpu_s(db).await? - cpu) * 1e9 / values;
        println!(
            "  COPY,   {connections} at a time: {again:>10.0} values/s, {used:>4.0} ns of processor time each"
        );
        (copied, copy_cpu_ns) = (copied.max(again), copy_cpu_ns.min(used));
        db.owner()
            .await?
            .batch_execute("TRUNCATE telemetry.sample")
            .await?;
    }
    Ok(Rows {
        values_per_s: ours,
        copy_values_per_s: copied,
        bytes_per_value,
        cpu_ns,
        copy_cpu_ns,
    })
}

/// Processor time so far of this process and of the server's that serve this database, where those are on this machine.
async fn cpu_s(db: &Db) -> Result<f64> {
    /// What Linux counts in.
    const TICK_S: f64 = 0.01;
    let client = db.system().await?;
    let sql = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database()";
    let rows = client.query(sql, &[]).await?;
    let mut processes: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    processes.retain(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.starts_with("postgres"))
    });
    processes.push("self".to_owned());
    let mut ticks = 0.0;
    for process in processes {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else {
            continue;
        };
        // What follows the name; user and system time are its 12th and 13th field.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let times = fields.split_whitespace().skip(11).take(2);
        ticks += times
            .filter_map(|field| field.parse::<f64>().ok())
            .sum::<f64>();
    }
    Ok(ticks * TICK_S)
}

async fn stored(ingestor: &Ingestor, batch: Vec<Delivery>) -> bool {
    let outcomes = ingestor.ingest(batch).await;
    outcomes
        .iter()
        .all(|outcome| matches!(outcome.result, OutcomeKind::Stored { new: true, .. }))
}

/// Bytes of the table and its indexes, partitions and chunks included.
async fn bytes(db: &Db) -> Result<f64> {
    let client = db.system().await?;
    let sql = "WITH RECURSIVE parts AS (
            SELECT 'telemetry.sample'::regclass::oid AS oid
            UNION ALL
            SELECT inhrelid FROM pg_inherits JOIN parts ON inhparent = parts.oid)
        SELECT sum(pg_total_relation_size(oid))::float8 FROM parts";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

fn columns() -> String {
    let names: Vec<&str> = signals().iter().map(|s| s.column.as_str()).collect();
    format!("time, asset_id, source, \"{}\"", names.join("\", \""))
}

/// Takes the rows out of the table, in as many pieces as there were transactions.
async fn take_out(db: &Db) -> Result<Vec<Bytes>> {
    let client = db.system().await?;
    let row = client
        .query_one("SELECT min(time), max(time) FROM telemetry.sample", &[])
        .await?;
    let (first, last): (Timestamp, Timestamp) = (row.get(0), row.get(1));
    let step = (BATCH / GATEWAYS) as i64 * 1_000_000;
    let mut batches = Vec::new();
    let mut from = first.as_microsecond();
    while from <= last.as_microsecond() {
        let to = from + step;
        let sql = format!(
            "COPY (SELECT {} FROM telemetry.sample WHERE time >= to_timestamp({from} / 1e6) \
             AND time < to_timestamp({to} / 1e6)) TO STDOUT BINARY",
            columns()
        );
        let mut out = pin!(client.copy_out(&sql).await?);
        let mut bytes = BytesMut::new();
        while let Some(piece) = out.next().await {
            bytes.extend_from_slice(&piece?);
        }
        batches.push(bytes.freeze());
        from = to;
    }
    db.owner()
        .await?
        .batch_execute("TRUNCATE telemetry.sample")
        .await?;
    Ok(batches)
}

/// Copies them in again, a transaction each; returns the seconds.
async fn copy_in(db: &Db, batches: Vec<Bytes>, connections: usize) -> Result<f64> {
    let mut queues: Vec<Vec<Bytes>> = vec![Vec::new(); connections];
    for (n, batch) in batches.into_iter().enumerate() {
        queues[n % connections].push(batch);
    }
    let mut clients = Vec::new();
    for queue in queues {
        clients.push((db.system().await?, queue));
    }
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for (mut client, queue) in clients {
        tasks.push(tokio::spawn(async move {
            let sql = format!("COPY telemetry.sample ({}) FROM STDIN BINARY", columns());
            for bytes in queue {
                let tx = client.transaction().await?;
                let mut sink = pin!(tx.copy_in::<_, Bytes>(&sql).await?);
                sink.send(bytes).await?;
                sink.finish().await?;
                tx.commit().await?;
            }
            Ok::<_, tokio_postgres::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(begun.elapsed().as_secs_f64())
}
