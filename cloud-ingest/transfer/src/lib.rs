//! Samples leave as files, CSV or Parquet, and come in from them once.
//!
//! | file | subject |
//! |---|---|
//! | `row` | a line of a file: [`COLUMNS`], and what their texts mean |
//! | `csv_file` · `parquet_file` | the two formats: rows in, rows out |
//! | `file` | which of them: [`Format`], and where something is wrong in one: [`Fault`] |
//! | `export` | a selection of what is stored becomes a file |
//! | `import` | a file is looked at as a whole, then stored: [`check`], [`import`](fn@import) |
//!
//! A row carries the raw integer and what it means, so that what was exported and imported is the same bit for bit; `value` is
//! there for readers, and a row in which both disagree is refused. Exactly once is kept by the samples themselves
//! ([`telemetry::samples::add_missing`]): a file may be imported twice, after a crash, or where it came from.

mod csv_file;
mod export;
mod file;
mod import;
mod parquet_file;
mod row;

pub use export::{ExportError, Exported, export};
pub use file::{Fault, Format};
pub use import::{Checked, ImportError, Imported, Plan, Refusal, check, import};
pub use row::COLUMNS;

use std::collections::BTreeMap;

use platform::{Client, DbError, OrganizationId};

/// The assets of an organisation: number and name.
pub async fn assets(
    client: &Client,
    organization: OrganizationId,
) -> Result<BTreeMap<i32, String>, DbError> {
    let sql = include_str!("../queries/assets.sql");
    let rows = client.query(sql, &[&organization]).await?;
    Ok(rows
        .iter()
        .map(|row| (row.get("id"), row.get("name")))
        .collect())
}
