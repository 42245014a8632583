SELECT topic, payload, size
FROM telemetry.quarantine
WHERE id = $1
