-- When the next sample of some assets is, from a time on and before another.
SELECT min(first.time) AS time
FROM unnest($1::int[]) AS a (asset_id)
CROSS JOIN LATERAL (
    (SELECT s.time FROM telemetry.sample AS s
     WHERE s.asset_id = a.asset_id AND s.time >= $2 AND s.time < $3 ORDER BY s.time LIMIT 1)
    UNION ALL
    (SELECT e.time FROM telemetry.extra_signal AS x
     CROSS JOIN LATERAL (SELECT e.time FROM telemetry.extra AS e
         WHERE e.signal_id = x.id AND e.time >= $2 AND e.time < $3 ORDER BY e.time LIMIT 1) AS e
     WHERE x.asset_id = a.asset_id)
) AS first
