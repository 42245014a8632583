-- Dead letters wait again, as new jobs; those whose key is taken meanwhile are merged with the job that has it.
WITH risen AS (
    DELETE FROM jobs.dead WHERE id = ANY ($1) RETURNING *
), merged AS (
    INSERT INTO jobs.job AS j (organization_id, kind, payload, priority, run_at, max_attempts, dedupe_key, request_id, created_at)
    SELECT DISTINCT ON (organization_id, kind, coalesce(dedupe_key, id::text))
           organization_id, kind, payload, priority, $2, max_attempts, dedupe_key, request_id, created_at
    FROM risen ORDER BY organization_id, kind, coalesce(dedupe_key, id::text), id DESC
    ON CONFLICT (tenant, kind, dedupe_key) WHERE dedupe_key IS NOT NULL
    DO UPDATE SET again = j.worker IS NOT NULL
)
SELECT id FROM risen
