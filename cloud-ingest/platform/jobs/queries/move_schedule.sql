UPDATE jobs.schedule SET last_at = next_at, next_at = $2 WHERE id = $1
