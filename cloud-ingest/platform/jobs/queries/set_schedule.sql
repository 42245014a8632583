-- A schedule; one that is there already keeps when it is due unless its time has changed.
INSERT INTO jobs.schedule AS s (organization_id, name, cron, time_zone, kind, payload, priority, max_attempts, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT ((coalesce(organization_id, 0)), name) DO UPDATE SET
    next_at = CASE WHEN s.cron = excluded.cron AND s.time_zone = excluded.time_zone THEN s.next_at ELSE excluded.next_at END,
    cron = excluded.cron, time_zone = excluded.time_zone, kind = excluded.kind, payload = excluded.payload,
    priority = excluded.priority, max_attempts = excluded.max_attempts
