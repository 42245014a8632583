-- Many jobs of one kind without a key, each with the request that asked for it.
INSERT INTO jobs.job (organization_id, kind, payload, priority, run_at, max_attempts, request_id, created_at)
SELECT $1, $2, j.payload, $4, $5, $6, j.request_id, $8
FROM unnest($3::jsonb[], $7::text[]) WITH ORDINALITY AS j (payload, request_id, place) ORDER BY j.place
