INSERT INTO access.session (organization_id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4) RETURNING id
