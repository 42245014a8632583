SELECT at, duration_ms, status, error, answer FROM events.attempt WHERE delivery_id = $1 ORDER BY id
