-- Jobs whose worker is dead.
SELECT j.id, j.worker, j.attempt, j.max_attempts, j.kind FROM jobs.job AS j
WHERE j.worker IS NOT NULL AND NOT EXISTS (SELECT FROM jobs.worker AS w WHERE w.id = j.worker)
ORDER BY j.id LIMIT 1000
FOR UPDATE OF j SKIP LOCKED
