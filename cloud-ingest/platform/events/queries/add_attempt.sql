INSERT INTO events.attempt (organization_id, delivery_id, at, duration_ms, status, error, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7)
