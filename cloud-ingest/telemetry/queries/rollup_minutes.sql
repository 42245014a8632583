-- Reads minutes again from samples, and marks the quarters of those that changed.
WITH fresh AS (
    SELECT u.bucket, u.asset_id, s.signal_id, u.source, count(*)::int AS count, min(s.steps) AS least,
           max(s.steps) AS greatest, array_agg(s.steps ORDER BY s.time, s.steps) AS ordered, sum(s.steps) AS sum
    FROM unnest($1::int[], $2::smallint[], $3::timestamptz[]) AS u (asset_id, source, bucket)
    JOIN telemetry.sample_step AS s ON s.asset_id = u.asset_id AND s.source = u.source
        AND s.time >= u.bucket AND s.time < u.bucket + interval '1 minute'
    WHERE s.time >= $4 AND s.time < $5
    GROUP BY u.bucket, u.asset_id, s.signal_id, u.source
), written AS (
    INSERT INTO telemetry.rollup_minute AS r (bucket, asset_id, signal_id, source, count, least, greatest, first, last, sum)
    SELECT bucket, asset_id, signal_id, source, count, least, greatest, ordered[1], ordered[count], sum
    FROM fresh
    ORDER BY asset_id, signal_id, source, bucket
    ON CONFLICT (asset_id, signal_id, source, bucket) DO UPDATE
    SET count = EXCLUDED.count, least = EXCLUDED.least, greatest = EXCLUDED.greatest, first = EXCLUDED.first,
        last = EXCLUDED.last, sum = EXCLUDED.sum
    WHERE r.count < EXCLUDED.count
    RETURNING r.asset_id, r.source, telemetry.bucket(1::smallint, r.bucket) AS bucket
)
INSERT INTO telemetry.dirty (level, asset_id, source, bucket, due)
SELECT DISTINCT 1, asset_id, source, bucket, greatest($6, bucket + interval '15 minutes 30 seconds')
FROM written
