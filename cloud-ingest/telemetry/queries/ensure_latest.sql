INSERT INTO telemetry.latest (asset_id, source)
SELECT asset_id, source FROM unnest($1::int[], $2::smallint[]) AS u (asset_id, source)
ORDER BY asset_id, source
ON CONFLICT DO NOTHING
