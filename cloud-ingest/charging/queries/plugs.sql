-- Cables of vehicles between two instants, and when each was last seen without.
SELECT e.asset_id, e.time, e.until,
       (SELECT max(p.time) FROM telemetry.sample AS p
        WHERE p.asset_id = e.asset_id AND p.is_cable_connected IS NOT NULL AND p.time < e.time
          AND p.time > e.time - interval '1 hour') AS without
FROM telemetry.event AS e
JOIN platform.asset AS a ON a.id = e.asset_id
WHERE a.organization_id = $1 AND e.event = 'plugged' AND e.active AND e.time > $2::timestamptz - interval '2 days' AND e.time < $3
  AND (e.until IS NULL OR e.until > $2)
ORDER BY e.asset_id, e.time
