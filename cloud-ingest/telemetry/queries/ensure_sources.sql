INSERT INTO telemetry.source (number, name)
SELECT * FROM unnest($1::smallint[], $2::text[])
ON CONFLICT (number) DO NOTHING
