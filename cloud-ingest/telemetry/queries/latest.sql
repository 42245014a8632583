SELECT s.name, s.unit, s.resolution::text AS resolution, l.source, u.time, u.steps
FROM telemetry.latest AS l
CROSS JOIN LATERAL unnest(l.signals, l.times, l.steps) AS u (signal, time, steps)
JOIN telemetry.signal AS s ON s.id = u.signal
WHERE l.asset_id = $1 AND (NOT platform.is_position(s.name) OR platform.position_shown(l.asset_id, u.time))
ORDER BY s.name, l.source
