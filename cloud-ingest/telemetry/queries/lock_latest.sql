SELECT l.asset_id, l.source, l.signals, l.times, l.steps
FROM telemetry.latest AS l
WHERE (l.asset_id, l.source) IN (SELECT * FROM unnest($1::int[], $2::smallint[]))
ORDER BY l.asset_id, l.source
FOR UPDATE
