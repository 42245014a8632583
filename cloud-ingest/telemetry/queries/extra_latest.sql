SELECT s.name, s.unit, l.source, u.time,
       telemetry.extra_value(s.encoding, u.raw, u.value, s.scale, s.shift) AS value
FROM telemetry.extra_latest AS l
CROSS JOIN LATERAL unnest(l.signals, l.times, l.raws, l."values") AS u (signal, time, raw, value)
JOIN telemetry.extra_signal AS s ON s.id = u.signal
WHERE l.asset_id = $1 AND (NOT platform.is_position(s.name) OR platform.position_shown(l.asset_id, u.time))
ORDER BY s.name, l.source
