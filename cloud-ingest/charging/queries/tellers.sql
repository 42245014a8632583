-- Vehicles that tell of their battery, and when they told of a cable last.
SELECT l.asset_id, max(l.time) FILTER (WHERE s.column_name = 'is_cable_connected') AS cable,
       max(l.value) FILTER (WHERE s.column_name = 'net_capacity') AS capacity
FROM telemetry.latest_value AS l
JOIN telemetry.signal AS s ON s.id = l.signal_id
JOIN platform.asset AS a ON a.id = l.asset_id
WHERE a.organization_id = $1 AND l.time > $2::timestamptz - interval '1 day'
  AND s.column_name IN ('is_cable_connected', 'net_capacity', 'battery_power', 'state_of_charge')
GROUP BY l.asset_id
