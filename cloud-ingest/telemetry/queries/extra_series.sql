SELECT e.time, s.source, s.unit,
       telemetry.extra_value(s.encoding, e.raw, e.value, s.scale, s.shift) AS value
FROM telemetry.extra AS e
JOIN telemetry.extra_signal AS s ON s.id = e.signal_id
WHERE s.asset_id = $1 AND s.name = $2 AND e.time >= $3 AND e.time < $4 AND ($5::smallint IS NULL OR s.source = $5)
    AND (NOT platform.is_position(s.name) OR platform.position_shown(s.asset_id, e.time))
ORDER BY e.time, s.source, value
OFFSET $6 LIMIT $7
