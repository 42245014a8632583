INSERT INTO telemetry.extra_signal (asset_id, source, name, unit, encoding, scale, shift)
SELECT asset_id, source, name, unit, encoding, scale::numeric, shift::numeric
FROM unnest($1::int[], $2::smallint[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::boolean[])
    AS u (asset_id, source, name, unit, encoding, scale, shift, may)
WHERE may
ORDER BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT DO NOTHING
