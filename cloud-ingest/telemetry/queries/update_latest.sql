UPDATE telemetry.latest AS l
SET time = n.time, signals = n.signals, times = n.times, steps = n.steps
FROM (
    SELECT asset_id, source, max(time) AS time, array_agg(signal ORDER BY signal) AS signals,
           array_agg(time ORDER BY signal) AS times, array_agg(steps ORDER BY signal) AS steps
    FROM unnest($1::int[], $2::smallint[], $3::int[], $4::timestamptz[], $5::bigint[])
        AS u (asset_id, source, signal, time, steps)
    GROUP BY asset_id, source
) AS n
WHERE l.asset_id = n.asset_id AND l.source = n.source
