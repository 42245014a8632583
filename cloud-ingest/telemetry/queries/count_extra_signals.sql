SELECT m.gateway_id, count(*) AS signals
FROM platform.gateway_asset AS m
JOIN telemetry.extra_signal AS s ON s.asset_id = m.asset_id
WHERE m.gateway_id = ANY ($1::int[])
GROUP BY m.gateway_id
