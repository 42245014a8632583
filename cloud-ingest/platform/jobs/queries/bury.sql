-- A job is given up: it becomes a dead letter.
WITH gone AS (
    DELETE FROM jobs.job WHERE id = $1 AND worker = $2 AND attempt = $3 RETURNING *
)
INSERT INTO jobs.dead (id, organization_id, kind, payload, priority, attempts, max_attempts, dedupe_key, request_id, created_at, died_at, reason)
SELECT id, organization_id, kind, payload, priority, attempt, max_attempts, dedupe_key, request_id, created_at, $4, $5 FROM gone
