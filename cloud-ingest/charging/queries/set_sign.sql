INSERT INTO charging.sign (organization_id, kind, value, asset_id)
SELECT a.organization_id, $1, $2, a.id FROM platform.asset AS a WHERE a.id = $3
ON CONFLICT (organization_id, kind, value) DO UPDATE SET asset_id = excluded.asset_id
