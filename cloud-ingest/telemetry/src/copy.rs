//! Rows for `COPY … FROM STDIN BINARY` (PostgreSQL manual, COPY, "Binary Format").

use std::pin::Pin;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures::SinkExt as _;
use tokio_postgres::{CopyInSink, Statement};

use crate::trouble::Trouble;

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
pub(crate) const EPOCH_2000_US: i64 = 946_684_800_000_000;
/// Signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends the rows.
const END: &[u8] = &(-1i16).to_be_bytes();
/// How much goes into one message, about: what a processor keeps near, and allocators keep at all.
pub(crate) const MESSAGE: usize = 64 * 1024;

/// Rows in the binary format.
#[derive(Debug)]
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
    rows: u64,
}

impl CopyRows {
    /// No rows yet.
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(16 * 1024),
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
        let mut copying = Copying::begin(tx, &statement).await?;
        copying.send(self.bytes.into()).await?;
        copying.finish(target, self.rows).await
    }
}

/// A COPY under way, in pieces: the database takes one while the next is made.
pub(crate) struct Copying(Pin<Box<CopyInSink<Bytes>>>);

impl Copying {
    /// Begins it, by a statement of [`sql`].
    pub(crate) async fn begin(
        tx: &Transaction<'_>,
        statement: &Statement,
    ) -> Result<Self, Trouble> {
        let mut sink = Box::pin(tx.copy_in::<_, Bytes>(statement).await?);
        sink.feed(Bytes::from_static(HEADER)).await?;
        Ok(Self(sink))
    }

    /// Sends whole rows.
    pub(crate) async fn send(&mut self, mut rows: Bytes) -> Result<(), Trouble> {
        while !rows.is_empty() {
            let piece = rows.split_to(MESSAGE.min(rows.len()));
            self.0.feed(piece).await?;
        }
        Ok(())
    }

    /// Ends it; so many rows were sent.
    pub(crate) async fn finish(mut self, target: &str, sent: u64) -> Result<(), Trouble> {
        self.0.feed(Bytes::from_static(END)).await?;
        let taken = self.0.as_mut().finish().await?;
        if taken == sent {
            return Ok(());
        }
        Err(Trouble::Miscount {
            what: target.to_owned(),
            sent,
            taken,
        })
    }
}

/// The statement that copies into a table and columns.
pub(crate) fn sql(target: &str) -> String {
    format!("COPY {target} FROM STDIN BINARY")
}
