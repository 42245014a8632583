UPDATE telemetry.quarantine
SET readmitted_at = coalesce(readmitted_at, $2)
WHERE id = $1
