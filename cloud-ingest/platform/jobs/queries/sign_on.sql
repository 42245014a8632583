INSERT INTO jobs.worker (id, started_at, alive_until) VALUES ($1, $2, $3)
