-- Reads days again from quarters of an hour.
WITH fresh AS (
    SELECT u.bucket, u.asset_id, s.signal_id, u.source, sum(s.count)::int AS count, min(s.least) AS least,
           max(s.greatest) AS greatest, array_agg(s.first ORDER BY s.bucket) AS firsts,
           array_agg(s.last ORDER BY s.bucket) AS lasts, sum(s.sum) AS sum
    FROM unnest($1::int[], $2::smallint[], $3::timestamptz[]) AS u (asset_id, source, bucket)
    JOIN telemetry.rollup_quarter AS s ON s.asset_id = u.asset_id AND s.source = u.source
        AND s.bucket >= u.bucket AND s.bucket < u.bucket + interval '24 hours'
    WHERE s.bucket >= $4 AND s.bucket < $5
    GROUP BY u.bucket, u.asset_id, s.signal_id, u.source
)
INSERT INTO telemetry.rollup_day AS r (bucket, asset_id, signal_id, source, count, least, greatest, first, last, sum)
SELECT bucket, asset_id, signal_id, source, count, least, greatest, firsts[1], lasts[cardinality(lasts)], sum
FROM fresh
ORDER BY asset_id, signal_id, source, bucket
ON CONFLICT (asset_id, signal_id, source, bucket) DO UPDATE
SET count = EXCLUDED.count, least = EXCLUDED.least, greatest = EXCLUDED.greatest, first = EXCLUDED.first,
    last = EXCLUDED.last, sum = EXCLUDED.sum
WHERE r.count < EXCLUDED.count
