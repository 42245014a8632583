SELECT id, organization_id, kind, payload, attempts, request_id, created_at, died_at, reason FROM jobs.dead WHERE id = $1
