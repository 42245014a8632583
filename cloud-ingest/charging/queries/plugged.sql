-- When connectors left `Available` before a transaction, the latest such instant.
SELECT u.id, max(c.time) AS plugged
FROM unnest($1::bigint[], $2::int[], $3::timestamptz[]) AS u (id, asset_id, began)
JOIN telemetry.signal AS s ON s.column_name = 'charger_status'
JOIN telemetry.state_change AS c ON c.asset_id = u.asset_id AND c.signal_id = s.id AND c.before = 0 AND c.steps BETWEEN 1 AND 5
    AND c.time > u.began - interval '15 minutes' AND c.time <= u.began + interval '1 minute'
GROUP BY u.id
