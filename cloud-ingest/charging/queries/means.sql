-- Means by minute of a signal of each of these assets, each from its own instant until another.
SELECT u.asset_id, r.bucket, (r.sum / r.count * s.resolution)::double precision AS mean
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS u (asset_id, since, until)
JOIN telemetry.signal AS s ON s.column_name = $4
JOIN telemetry.rollup_minute AS r ON r.asset_id = u.asset_id AND r.signal_id = s.id
    AND r.bucket >= u.since - interval '1 minute' AND r.bucket < u.until
WHERE r.bucket >= $5 AND r.bucket < $6
ORDER BY u.asset_id, r.bucket, r.source
