-- Of each state and span of time: what it was before, and whether it is known to have changed meanwhile.
SELECT before.steps,
       EXISTS (SELECT FROM telemetry.state_change AS c
               WHERE c.asset_id = u.asset_id AND c.signal_id = u.signal_id AND c.source = u.source
                 AND c.time BETWEEN u.first AND u.last) AS changed
FROM unnest($1::int[], $2::int[], $3::smallint[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY
    AS u (asset_id, signal_id, source, first, last, place)
LEFT JOIN LATERAL (
    SELECT c.steps FROM telemetry.state_change AS c
    WHERE c.asset_id = u.asset_id AND c.signal_id = u.signal_id AND c.source = u.source AND c.time < u.first
    ORDER BY c.time DESC, c.steps DESC
    LIMIT 1) AS before ON true
ORDER BY u.place
