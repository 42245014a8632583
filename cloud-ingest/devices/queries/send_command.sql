INSERT INTO devices.command (organization_id, device_id, text, issued_at, expires_at)
SELECT d.organization_id, d.id, $3, $4, $5 FROM devices.device AS d WHERE d.kind = $1 AND d.key = $2 AND d.removed_at IS NULL
RETURNING id
