SELECT id, gateway, number, closed, reason, detail, topic, samples, deliveries, received_at, last_at, size, readmitted_at
FROM telemetry.quarantine
WHERE id > $1 AND ($3::text[] IS NULL OR gateway = ANY ($3))
ORDER BY id
LIMIT $2
