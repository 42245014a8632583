-- Dead letters before a number (NULL: from the last on), the latest asked for first, of one kind or (NULL) of all.
SELECT id, organization_id, kind, payload, attempts, request_id, created_at, died_at, reason FROM jobs.dead
WHERE ($1::text IS NULL OR kind = $1) AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
