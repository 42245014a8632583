-- The signals of the catalogue that any of these sources has ever told.
SELECT s.id, s.column_name, s.column_type = 'bigint' AS is_big
FROM telemetry.signal AS s
WHERE s.id IN (
    SELECT unnest(l.signals) FROM telemetry.latest AS l
    WHERE (l.asset_id, l.source) IN (SELECT * FROM unnest($1::int[], $2::smallint[])))
ORDER BY s.id
