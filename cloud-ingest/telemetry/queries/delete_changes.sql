DELETE FROM telemetry.state_change AS c
USING unnest($1::int[], $2::int[], $3::smallint[], $4::timestamptz[], $5::timestamptz[])
    AS u (asset_id, signal_id, source, first, until)
WHERE c.asset_id = u.asset_id AND c.signal_id = u.signal_id AND c.source = u.source AND c.time BETWEEN u.first AND u.until
