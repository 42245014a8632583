INSERT INTO access.api_key (organization_id, name, prefix, hash, scopes, created_at, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id
