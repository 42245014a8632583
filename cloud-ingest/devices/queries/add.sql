INSERT INTO devices.device (organization_id, asset_id, kind, key, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kind, key) DO NOTHING
RETURNING id
