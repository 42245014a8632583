SELECT s.asset_id, s.source, s.name, count(*) AS samples
FROM telemetry.extra AS e
JOIN telemetry.extra_signal AS s ON s.id = e.signal_id
WHERE $1::int IS NULL OR s.asset_id = $1
GROUP BY s.asset_id, s.source, s.name
ORDER BY s.asset_id, s.source, s.name
