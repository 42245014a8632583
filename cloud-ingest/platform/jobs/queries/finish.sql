-- Jobs are done, as far as the worker still has them. One that was asked for once more while it ran waits again.
WITH gone AS (
    DELETE FROM jobs.job AS j USING unnest($1::bigint[], $3::int[]) AS d (id, attempt)
    WHERE j.id = d.id AND j.worker = $2 AND j.attempt = d.attempt
    RETURNING j.*
), again AS (
    INSERT INTO jobs.job (organization_id, kind, payload, priority, run_at, max_attempts, dedupe_key, request_id, created_at)
    SELECT organization_id, kind, payload, priority, $4, max_attempts, dedupe_key, request_id, $4 FROM gone WHERE again
)
SELECT id FROM gone
