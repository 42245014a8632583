UPDATE telemetry.extra_latest AS l
SET time = n.time, signals = n.signals, times = n.times, raws = n.raws, "values" = n."values"
FROM (
    SELECT asset_id, source, max(time) AS time, array_agg(signal ORDER BY signal) AS signals,
           array_agg(time ORDER BY signal) AS times, array_agg(raw ORDER BY signal) AS raws,
           array_agg(value ORDER BY signal) AS "values"
    FROM unnest($1::int[], $2::smallint[], $3::int[], $4::timestamptz[], $5::bigint[], $6::double precision[])
        AS u (asset_id, source, signal, time, raw, value)
    GROUP BY asset_id, source
) AS n
WHERE l.asset_id = n.asset_id AND l.source = n.source
