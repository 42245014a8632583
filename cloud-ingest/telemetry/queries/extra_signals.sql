SELECT u.place, s.id
FROM unnest($1::int[], $2::smallint[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[])
    WITH ORDINALITY AS u (asset_id, source, name, unit, encoding, scale, shift, place)
JOIN telemetry.extra_signal AS s ON s.asset_id = u.asset_id AND s.source = u.source AND s.name = u.name AND s.unit = u.unit
    AND s.encoding = u.encoding AND s.scale = u.scale::numeric AND s.shift = u.shift::numeric
