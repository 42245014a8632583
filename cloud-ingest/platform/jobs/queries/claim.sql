-- Takes at most $4 due jobs ($3: now) of the kinds $2 for the worker $1, shared fairly: of the organisations that have
-- due jobs, those with the fewest jobs running here come first, each gets the same number, and none may have more than
-- $5 running here. Within an organisation the urgent and then the old go first.
--
-- `pair` hops over the index from one (tenant, priority) to the next, so that a million jobs of one organisation cost
-- one hop.
WITH RECURSIVE pair AS (
    (SELECT tenant, priority FROM jobs.job WHERE worker IS NULL ORDER BY tenant, priority LIMIT 1)
    UNION ALL
    SELECT n.tenant, n.priority
    FROM pair AS p CROSS JOIN LATERAL (
        SELECT j.tenant, j.priority FROM jobs.job AS j
        WHERE j.worker IS NULL AND (j.tenant, j.priority) > (p.tenant, p.priority)
        ORDER BY j.tenant, j.priority LIMIT 1
    ) AS n
), due AS (
    SELECT DISTINCT p.tenant FROM pair AS p
    WHERE EXISTS (
        SELECT FROM jobs.job AS j
        WHERE j.worker IS NULL AND j.tenant = p.tenant AND j.priority = p.priority AND j.run_at <= $3
    )
), running AS (
    SELECT tenant, count(*) AS jobs FROM jobs.job WHERE worker = $1 GROUP BY tenant
), chosen AS (
    SELECT d.tenant, coalesce(r.jobs, 0) AS running,
           least(ceil($4::bigint::float8 / count(*) OVER ()), $5::bigint - coalesce(r.jobs, 0))::bigint AS share
    FROM due AS d LEFT JOIN running AS r USING (tenant)
    WHERE coalesce(r.jobs, 0) < $5::bigint
    ORDER BY coalesce(r.jobs, 0), random()
    LIMIT $4::bigint
), locked AS (
    SELECT c.tenant, c.running, l.id, l.priority, l.run_at
    FROM chosen AS c CROSS JOIN LATERAL (
        SELECT u.id, u.priority, u.run_at
        FROM pair AS p CROSS JOIN LATERAL (
            SELECT j.id, j.priority, j.run_at FROM jobs.job AS j
            WHERE j.worker IS NULL AND j.tenant = c.tenant AND j.priority = p.priority AND j.run_at <= $3
              AND j.kind = ANY ($2)
            ORDER BY j.run_at, j.id LIMIT c.share
            FOR UPDATE SKIP LOCKED
        ) AS u
        WHERE p.tenant = c.tenant
        ORDER BY p.priority, u.run_at, u.id LIMIT c.share
    ) AS l
), taken AS (
    SELECT id FROM locked
    ORDER BY running + row_number() OVER (PARTITION BY tenant ORDER BY priority, run_at, id), random()
    LIMIT $4::bigint
)
UPDATE jobs.job AS j SET worker = $1, attempt = attempt + 1, again = false
FROM taken AS t WHERE j.id = t.id
RETURNING j.id, j.organization_id, j.kind, j.payload, j.priority, j.run_at, j.attempt, j.max_attempts, j.request_id
