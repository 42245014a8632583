//! Wide rows on their way into the table, encoded while the database takes those before them.

use deadpool_postgres::Transaction;

use crate::{
    copy::{Copying, EPOCH_2000_US, MESSAGE, sql},
    decode::{Rows, WideRow},
    layout::{Width, layout},
    trouble::Trouble,
};

/// Fields of every row: time, asset, source.
const KEYS: usize = 3;
/// Where their values are in a row, after the count of fields and each after its length.
const TIME: usize = 2 + 4;
const ASSET: usize = TIME + 8 + 4;
const SOURCE: usize = ASSET + 4 + 4;

/// Copies the wide rows of blocks, with the columns that any of them uses.
pub(crate) async fn copy(tx: &Transaction<'_>, blocks: &[&Rows]) -> Result<(), Trouble> {
    if blocks.iter().all(|rows| rows.wide.is_empty()) {
        return Ok(());
    }
    let used = used(blocks);
    let target = target(&used);
    // What gateways choose must not fill a connection with statements.
    let statement = tx.prepare(&sql(&target)).await?;
    let mut copying = Copying::begin(tx, &statement).await?;
    let mut piece: Vec<u8> = Vec::with_capacity(MESSAGE + MESSAGE / 8);
    for rows in blocks {
        let forms: Vec<Form> = rows
            .shapes()
            .iter()
            .map(|shape| Form::new(shape, &used))
            .collect();
        for row in &rows.wide {
            forms[row.shape as usize].put(row, rows.steps_of(row), &mut piece);
            if piece.len() >= MESSAGE {
                let next = Vec::with_capacity(piece.capacity());
                copying
                    .send(std::mem::replace(&mut piece, next).into())
                    .await?;
            }
        }
    }
    copying.send(piece.into()).await?;
    let sent = blocks.iter().map(|rows| rows.wide.len() as u64).sum();
    copying.finish(&target, sent).await
}

/// The slots that any row uses, ascending.
fn used(blocks: &[&Rows]) -> Vec<(u16, Width)> {
    let layout = layout();
    let mut is_used = vec![false; layout.slots.len()];
    for slot in blocks
        .iter()
        .flat_map(|rows| rows.shapes())
        .flat_map(|shape| shape.iter())
    {
        is_used[usize::from(*slot)] = true;
    }
    (0u16..)
        .zip(&layout.slots)
        .filter(|(slot, _)| is_used[usize::from(*slot)])
        .map(|(slot, column)| (slot, column.width))
        .collect()
}

fn target(used: &[(u16, Width)]) -> String {
    let mut target = "telemetry.sample (time, asset_id, source".to_owned();
    for &(slot, _) in used {
        target.push_str(", \"");
        target.push_str(&layout().slot(slot).signal.column);
        target.push('"');
    }
    target.push(')');
    target
}

/// A row of one shape as it is sent: everything but the values is the same for all.
#[derive(Debug)]
struct Form {
    bytes: Vec<u8>,
    /// Where each value of the shape is in it.
    places: Vec<(usize, Width)>,
}

impl Form {
    fn new(shape: &[u16], used: &[(u16, Width)]) -> Self {
        let mut bytes = Vec::with_capacity(SOURCE + 2 + used.len() * 12);
        bytes.extend_from_slice(&((KEYS + used.len()) as i16).to_be_bytes());
        for length in [8, 4, 2] {
            add_field(&mut bytes, length);
        }
        let mut places = Vec::with_capacity(shape.len());
        let mut slots = shape.iter().peekable();
        for &(slot, width) in used {
            if slots.next_if(|next| **next == slot).is_some() {
                let length = match width {
                    Width::Two => 2,
                    Width::Four => 4,
                    Width::Eight => 8,
                };
                places.push((add_field(&mut bytes, length), width));
            } else {
                bytes.extend_from_slice(&(-1i32).to_be_bytes());
            }
        }
        Self { bytes, places }
    }

    /// Appends a row.
    fn put(&self, row: &WideRow, steps: &[i64], out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        let out = &mut out[begin..];
        let time = row.time_us.saturating_sub(EPOCH_2000_US);
        out[TIME..TIME + 8].copy_from_slice(&time.to_be_bytes());
        out[ASSET..ASSET + 4].copy_from_slice(&row.asset.to_be_bytes());
        out[SOURCE..SOURCE + 2].copy_from_slice(&row.source.to_be_bytes());
        for (&(at, width), &steps) in self.places.iter().zip(steps) {
            // The steps were checked against the range for which the width was chosen.
            match width {
                Width::Two => out[at..at + 2].copy_from_slice(&(steps as i16).to_be_bytes()),
                Width::Four => out[at..at + 4].copy_from_slice(&(steps as i32).to_be_bytes()),
                Width::Eight => out[at..at + 8].copy_from_slice(&steps.to_be_bytes()),
            }
        }
    }
}

/// Appends a field that is still to be filled in, and returns where.
fn add_field(bytes: &mut Vec<u8>, length: usize) -> usize {
    bytes.extend_from_slice(&(length as i32).to_be_bytes());
    bytes.resize(bytes.len() + length, 0);
    bytes.len() - length
}
