SELECT s.id, s.name, s.unit, s.encoding, s.scale::text AS scale, s.shift::text AS shift
FROM telemetry.extra_signal AS s
WHERE s.id = ANY ($1::int[])
