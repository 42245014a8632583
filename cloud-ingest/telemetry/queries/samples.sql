SELECT s.time, s.asset_id, s.source, s.signal_id, NULL::int AS extra_id, s.steps AS raw, NULL::double precision AS value
FROM telemetry.sample_step AS s
WHERE s.asset_id = ANY ($1::int[]) AND s.time >= $2 AND s.time < $3
    AND ($4::text[] IS NULL OR s.signal_id IN (SELECT t.id FROM telemetry.signal AS t WHERE t.name = ANY ($4)))
    AND ($5::boolean OR s.signal_id NOT IN (SELECT t.id FROM telemetry.signal AS t WHERE platform.is_position(t.name))
        OR platform.position_shown(s.asset_id, s.time))
UNION ALL
SELECT e.time, x.asset_id, x.source, NULL, x.id, e.raw, e.value
FROM telemetry.extra_signal AS x
JOIN telemetry.extra AS e ON e.signal_id = x.id
WHERE x.asset_id = ANY ($1) AND e.time >= $2 AND e.time < $3 AND ($4 IS NULL OR x.name = ANY ($4))
    AND ($5 OR NOT platform.is_position(x.name) OR platform.position_shown(x.asset_id, e.time))
ORDER BY time, asset_id, source, signal_id, extra_id, raw, value
