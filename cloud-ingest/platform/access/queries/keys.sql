SELECT id, name, prefix, scopes, created_at, created_by, expires_at, revoked_at, last_used_at, rotated_to
FROM access.api_key
WHERE id > $1
ORDER BY id
LIMIT $2
