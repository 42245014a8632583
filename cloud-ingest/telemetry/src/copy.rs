//! Rows for `COPY … FROM STDIN BINARY` (PostgreSQL manual, COPY, "Binary Format").

use std::pin::pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use deadpool_postgres::Transaction;
use futures::SinkExt as _;
use tokio_postgres::Statement;

use crate::trouble::Trouble;

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
pub(crate) const EPOCH_2000_US: i64 = 946_684_800_000_000;
/// How much goes into one message.
const MESSAGE: usize = 256 * 1024;

/// Rows in the binary format.
#[derive(Debug)]
pub(crate) struct CopyRows {
    bytes: BytesMut,
    rows: u64,
}

impl CopyRows {
    /// No rows yet.
    pub(crate) fn new() -> Self {
        let mut bytes = BytesMut::with_capacity(16 * 1024);
        bytes.put_slice(b"PGCOPY\n\xff\r\n\0");
        bytes.put_i32(0);
        bytes.put_i32(0);
        Self { bytes, rows: 0 }
    }

    /// Begins a row of so many fields; exactly as many have to follow.
    pub(crate) fn row(&mut self, fields: usize) {
        self.rows += 1;
        // Room for the widest: fields of a row then only move an end.
        self.bytes.reserve(2 + fields * 12);
        self.bytes.put_i16(fields as i16);
    }

    pub(crate) fn null(&mut self) {
        self.bytes.put_i32(-1);
    }

    pub(crate) fn smallint(&mut self, value: i16) {
        self.bytes.put_i32(2);
        self.bytes.put_i16(value);
    }

    pub(crate) fn integer(&mut self, value: i32) {
        self.bytes.put_i32(4);
        self.bytes.put_i32(value);
    }

    pub(crate) fn bigint(&mut self, value: i64) {
        self.bytes.put_i32(8);
        self.bytes.put_i64(value);
    }

    pub(crate) fn double(&mut self, value: f64) {
        self.bytes.put_i32(8);
        self.bytes.put_f64(value);
    }

    /// A `timestamptz`, from microseconds since 1970.
    pub(crate) fn time(&mut self, us: i64) {
        self.bigint(us.saturating_sub(EPOCH_2000_US));
    }

    pub(crate) fn bytea(&mut self, value: &[u8]) {
        self.bytes.put_i32(value.len() as i32);
        self.bytes.put_slice(value);
    }

    /// Sends them as `COPY target FROM STDIN BINARY`; nothing is sent when there are none. `target` is one of few: its
    /// statement stays prepared.
    pub(crate) async fn send(self, tx: &Transaction<'_>, target: &str) -> Result<(), Trouble> {
        if self.rows == 0 {
            return Ok(());
        }
        let statement = tx.prepare_cached(&sql(target)).await?;
        self.send_by(tx, target, &statement).await
    }

    /// The same for a target that depends on the data: what gateways choose must not fill a connection with statements.
    pub(crate) async fn send_once(self, tx: &Transaction<'_>, target: &str) -> Result<(), Trouble> {
        if self.rows == 0 {
            return Ok(());
        }
        let statement = tx.prepare(&sql(target)).await?;
        self.send_by(tx, target, &statement).await
    }

    async fn send_by(
        mut self,
        tx: &Transaction<'_>,
        target: &str,
        statement: &Statement,
    ) -> Result<(), Trouble> {
        self.bytes.put_i16(-1);
        let mut sink = pin!(tx.copy_in::<_, Bytes>(statement).await?);
        while !self.bytes.is_empty() {
            let piece = self.bytes.split_to(MESSAGE.min(self.bytes.len()));
            sink.feed(piece.freeze()).await?;
        }
        let taken = sink.finish().await?;
        if taken == self.rows {
            Ok(())
        } else {
            Err(Trouble::Miscount {
                what: target.to_owned(),
                sent: self.rows,
                taken,
            })
        }
    }
}

fn sql(target: &str) -> String {
    format!("COPY {target} FROM STDIN BINARY")
}
