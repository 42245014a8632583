SELECT id, organization_id, asset_id, removed_at FROM devices.device WHERE kind = $1 AND key = $2
