SELECT name, scopes, expires_at FROM access.api_key
WHERE id = $1 AND revoked_at IS NULL AND rotated_to IS NULL AND (expires_at IS NULL OR expires_at > $2)
FOR UPDATE
