INSERT INTO access.token (hash, session_id, organization_id, sort, expires_at) VALUES ($1, $2, $3, $4, $5)
