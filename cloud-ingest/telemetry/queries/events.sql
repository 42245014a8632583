SELECT e.time, e.source, e.event, e.active, e.steps, e.until
FROM telemetry.own_event AS e
WHERE e.asset_id = $1 AND e.time >= $2 AND e.time < $3 AND ($4::text IS NULL OR e.event = $4)
ORDER BY e.time, e.event, e.source, e.steps
OFFSET $5 LIMIT $6
