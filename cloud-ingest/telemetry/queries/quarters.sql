SELECT r.bucket, r.source, r.count, r.least, r.greatest, r.first, r.last,
       (r.sum * s.resolution / r.count)::double precision AS mean
FROM telemetry.rollup_quarter AS r
JOIN telemetry.signal AS s ON s.id = r.signal_id
WHERE r.asset_id = $1 AND r.signal_id = $2 AND r.bucket >= $3 AND r.bucket < $4 AND ($5::smallint IS NULL OR r.source = $5)
ORDER BY r.bucket, r.source
OFFSET $6 LIMIT $7
