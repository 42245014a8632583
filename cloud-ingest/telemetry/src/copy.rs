//! Rows for `COPY … FROM STDIN BINARY` (PostgreSQL manual, COPY, "Binary Format").

use std::pin::pin;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures::SinkExt as _;
use tokio_postgres::Statement;

use crate::trouble::Trouble;

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
pub(crate) const EPOCH_2000_US: i64 = 946_684_800_000_000;
/// Signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How much goes into one message.
const MESSAGE: usize = 256 * 1024;

/// Rows in the binary format.
#[derive(Debug)]
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
    rows: u64,
}

impl CopyRows {
    /// No rows yet.
    pub(crate) fn new() -> Self {
        Self::with_room(16 * 1024)
    }

    /// No rows yet, and room for so many bytes of them.
    pub(crate) fn with_room(bytes: usize) -> Self {
        let mut header = Vec::with_capacity(bytes + HEADER.len());
        header.extend_from_slice(HEADER);
        Self {
            bytes: header,
            rows: 0,
        }
    }

    /// Begins a row of so many fields; exactly as many have to follow.
    pub(crate) fn row(&mut self, fields: usize) {
        self.rows += 1;
        // Room for the widest: fields of a row then only move an end.
        self.bytes.reserve(2 + fields * 12);
        self.bytes.extend_from_slice(&(fields as i16).to_be_bytes());
    }

    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// A field of a fixed length: length and value in one piece.
    fn field<const VALUE: usize, const FIELD: usize>(&mut self, value: [u8; VALUE]) {
        let mut field = [0; FIELD];
        field[3] = VALUE as u8;
        field[4..].copy_from_slice(&value);
        self.bytes.extend_from_slice(&field);
    }

    pub(crate) fn smallint(&mut self, value: i16) {
        self.field::<2, 6>(value.to_be_bytes());
    }

    pub(crate) fn integer(&mut self, value: i32) {
        self.field::<4, 8>(value.to_be_bytes());
    }

    pub(crate) fn bigint(&mut self, value: i64) {
        self.field::<8, 12>(value.to_be_bytes());
    }

    pub(crate) fn double(&mut self, value: f64) {
        self.field::<8, 12>(value.to_be_bytes());
    }

    /// A `timestamptz`, from microseconds since 1970.
    pub(crate) fn time(&mut self, us: i64) {
        self.bigint(us.saturating_sub(EPOCH_2000_US));
    }

    pub(crate) fn bytea(&mut self, value: &[u8]) {
        self.bytes
            .extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value);
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
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        let mut bytes = Bytes::from(self.bytes);
        let mut sink = pin!(tx.copy_in::<_, Bytes>(statement).await?);
        while !bytes.is_empty() {
            sink.feed(bytes.split_to(MESSAGE.min(bytes.len()))).await?;
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
