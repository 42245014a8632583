-- Many jobs of one kind without a key.
INSERT INTO jobs.job (organization_id, kind, payload, priority, run_at, max_attempts, request_id, created_at)
SELECT $1, $2, p, $4, $5, $6, $7, $8 FROM unnest($3::jsonb[]) AS p
