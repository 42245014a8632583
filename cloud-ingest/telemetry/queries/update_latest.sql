-- The lists of all rows come one behind the other; a row's lie between its first and last.
UPDATE telemetry.latest AS l
SET time = u.time, signals = ($6::int[])[u.first:u.last], times = ($7::timestamptz[])[u.first:u.last],
    steps = ($8::bigint[])[u.first:u.last]
FROM unnest($1::int[], $2::smallint[], $3::timestamptz[], $4::int[], $5::int[]) AS u (asset_id, source, time, first, last)
WHERE l.asset_id = u.asset_id AND l.source = u.source
