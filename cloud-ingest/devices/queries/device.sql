SELECT id, organization_id, asset_id, kind, key
FROM devices.device
WHERE kind = $1 AND key = $2 AND removed_at IS NULL
