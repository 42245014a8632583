//! The statements that read quarters of an hour again from minutes, and days from quarters.

use super::{Resolution, upsert};

/// The statement for one resolution above minutes. It reads what lies between `$4` and `$5`, in buckets `$3` of sources `$2` of
/// assets `$1`; that of quarters marks the days of those that changed, due after `$6`.
///
/// Which signals there are is taken from the latest values, which are kept by the transaction that brings samples: so each
/// bucket of each signal is found by the whole key. By asset alone all that it ever had in a partition would be read for
/// each of its buckets.
pub(super) fn sql(resolution: Resolution) -> String {
    let (from, width) = match resolution {
        Resolution::Minute | Resolution::Quarter => ("rollup_minute", "15 minutes"),
        Resolution::Day => ("rollup_quarter", "24 hours"),
    };
    let fresh = format!(
        "WITH fresh AS (
    SELECT u.bucket, u.asset_id, g.signal_id, u.source, a.*
    FROM unnest($1::int[], $2::smallint[], $3::timestamptz[]) AS u (asset_id, source, bucket)
    JOIN telemetry.latest AS l ON l.asset_id = u.asset_id AND l.source = u.source
    CROSS JOIN LATERAL unnest(l.signals) AS g (signal_id)
    CROSS JOIN LATERAL (
        SELECT sum(s.count)::int AS count, min(s.least) AS least, max(s.greatest) AS greatest,
               (array_agg(s.first ORDER BY s.bucket))[1] AS first, (array_agg(s.last ORDER BY s.bucket DESC))[1] AS last,
               sum(s.sum) AS sum
        FROM telemetry.{from} AS s
        WHERE s.asset_id = u.asset_id AND s.signal_id = g.signal_id AND s.source = u.source AND s.bucket >= u.bucket
            AND s.bucket < u.bucket + interval '{width}' AND s.bucket >= $4 AND s.bucket < $5) AS a
    WHERE a.count > 0
)"
    );
    let upsert = upsert(resolution);
    if resolution == Resolution::Day {
        return format!("{fresh}\n{upsert}");
    }
    format!(
        "{fresh}, written AS (
    {upsert}
    RETURNING r.asset_id, r.source, telemetry.bucket(2::smallint, r.bucket) AS bucket
)
INSERT INTO telemetry.dirty (level, asset_id, source, bucket, due)
SELECT DISTINCT 2, asset_id, source, bucket, greatest($6, bucket + interval '24 hours 1 minute')
FROM written"
    )
}
