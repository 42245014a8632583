-- Schedules that are due, one worker at a time.
SELECT id, organization_id, name, cron, time_zone, kind, payload, priority, max_attempts, next_at FROM jobs.schedule
WHERE next_at <= $1 ORDER BY next_at LIMIT 100 FOR UPDATE SKIP LOCKED
