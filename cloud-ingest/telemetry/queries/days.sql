SELECT r.bucket, r.source, r.count, r.least, r.greatest, r.first, r.last,
       (r.sum * s.resolution / r.count)::double precision AS mean
FROM telemetry.rollup_day AS r
JOIN telemetry.signal AS s ON s.id = r.signal_id
WHERE r.asset_id = $1 AND r.signal_id = $2 AND r.bucket >= $3 AND r.bucket < $4 AND ($5::smallint IS NULL OR r.source = $5)
    -- A mean over times of which some are hidden tells of those, too.
    AND NOT (platform.is_position(s.name) AND EXISTS (SELECT FROM platform.position_rule AS p WHERE p.asset_id = r.asset_id))
ORDER BY r.bucket, r.source
OFFSET $6 LIMIT $7
