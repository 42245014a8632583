INSERT INTO events.endpoint (organization_id, url, description, names, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id
