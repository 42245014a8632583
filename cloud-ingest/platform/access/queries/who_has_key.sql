SELECT id, organization_id, hash, scopes
FROM access.api_key
WHERE prefix = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
