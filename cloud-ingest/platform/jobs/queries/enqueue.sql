-- A job, or the unfinished one that has its key already; that one runs again if it runs now, for it may have read
-- what the caller has changed since.
INSERT INTO jobs.job AS j (organization_id, kind, payload, priority, run_at, max_attempts, dedupe_key, request_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant, kind, dedupe_key) WHERE dedupe_key IS NOT NULL
DO UPDATE SET again = j.worker IS NOT NULL
RETURNING id, xmax = 0 AS fresh
