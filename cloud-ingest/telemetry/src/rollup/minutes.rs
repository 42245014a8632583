//! The statement that reads minutes again, for the columns that are used, and marks the quarters of those that changed.
//!
//! *First* and *last* are a least and a greatest: of the time within the minute, in microseconds, and below it, in the same
//! number, the steps. So a value is looked at once for each, and nothing is sorted.

use std::fmt::Write as _;

use deadpool_postgres::Transaction;

use super::{Resolution, upsert};
use crate::trouble::Trouble;

/// A column of `telemetry.sample`.
#[derive(Debug)]
pub(super) struct Column {
    id: i32,
    name: String,
    /// A `bigint`; the others fit into 32 bits.
    is_big: bool,
}

/// The columns in which any of these sources of assets has ever had a value. What brings samples keeps the latest values
/// in the same transaction, so a sample that can be seen has its column here.
pub(super) async fn used(
    tx: &Transaction<'_>,
    assets: &[i32],
    sources: &[i16],
) -> Result<Vec<Column>, Trouble> {
    let statement = tx
        .prepare_cached(include_str!("../../queries/used_columns.sql"))
        .await?;
    let rows = tx.query(&statement, &[&assets, &sources]).await?;
    let column = |row: &tokio_postgres::Row| Column {
        id: row.get("id"),
        name: row.get("column_name"),
        is_big: row.get("is_big"),
    };
    Ok(rows.iter().map(column).collect())
}

/// The statement for these columns, at least one.
pub(super) fn sql(columns: &[Column]) -> String {
    /// 2 to the power of 64, 63, 32 and 31.
    const TWO_64: &str = "18446744073709551616";
    const TWO_63: &str = "9223372036854775808";
    const TWO_32: &str = "4294967296";
    const TWO_31: &str = "2147483648";
    let (mut aggregates, mut rows) = (String::new(), String::new());
    for (n, column) in columns.iter().enumerate() {
        let name = format!("x.\"{}\"", column.name.replace('"', "\"\""));
        let (packed, steps): (String, fn(&str) -> String) = if column.is_big {
            let packed = format!("x.at::numeric * {TWO_64} + ({name} + {TWO_63})");
            (packed, |of| {
                format!("(mod({of}, {TWO_64}) - {TWO_63})::bigint")
            })
        } else {
            let packed = format!("x.at * {TWO_32} + ({name} + {TWO_31})");
            (packed, |of| format!("{of} % {TWO_32} - {TWO_31}"))
        };
        let comma = if n == 0 { "" } else { ",\n" };
        // Writing to a String does not fail.
        let _ = write!(
            aggregates,
            "{comma}count({name}) AS n{n}, min({name}) AS l{n}, max({name}) AS g{n}, sum({name}) AS s{n}, \
             min({packed}) AS f{n}, max({packed}) AS e{n}"
        );
        let (first, last) = (steps(&format!("f{n}")), steps(&format!("e{n}")));
        let _ = write!(
            rows,
            "{comma}({}, n{n}, l{n}::bigint, g{n}::bigint, {first}, {last}, s{n}::numeric)",
            column.id
        );
    }
    let upsert = upsert(Resolution::Minute);
    // One pass over wide rows: a row for each value would cost eight times as much. OFFSET has the time in the minute
    // computed once for each row.
    format!(
        "WITH wide AS (
    SELECT u.bucket, u.asset_id, u.source, a.*
    FROM unnest($1::int[], $2::smallint[], $3::timestamptz[]) AS u (asset_id, source, bucket)
    CROSS JOIN LATERAL (
        SELECT {aggregates}
        FROM (SELECT s.*, (date_part('epoch', s.time - u.bucket) * 1000000)::bigint AS at
              FROM telemetry.sample AS s
              WHERE s.asset_id = u.asset_id AND s.source = u.source AND s.time >= u.bucket
                  AND s.time < u.bucket + interval '1 minute' AND s.time >= $4 AND s.time < $5
              OFFSET 0) AS x) AS a
), fresh AS (
    SELECT w.bucket, w.asset_id, w.source, v.*
    FROM wide AS w
    CROSS JOIN LATERAL (VALUES {rows}) AS v (signal_id, count, least, greatest, first, last, sum)
    WHERE v.count > 0
), written AS (
    {upsert}
    RETURNING r.asset_id, r.source, telemetry.bucket(1::smallint, r.bucket) AS bucket
)
INSERT INTO telemetry.dirty (level, asset_id, source, bucket, due)
SELECT DISTINCT 1, asset_id, source, bucket, greatest($6, bucket + interval '15 minutes 30 seconds')
FROM written"
    )
}
