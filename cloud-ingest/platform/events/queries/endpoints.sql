-- Endpoints after a number.
SELECT id, url, description, names, created_at, failing_since, disabled_at, disabled_reason FROM events.endpoint
WHERE id > $1 ORDER BY id LIMIT $2
