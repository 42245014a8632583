-- Dead letters, the newest first.
SELECT id, organization_id, kind, payload, attempts, request_id, created_at, died_at, reason FROM jobs.dead
WHERE ($1::text IS NULL OR kind = $1) ORDER BY died_at DESC, id DESC LIMIT $2
