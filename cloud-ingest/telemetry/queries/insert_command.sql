INSERT INTO telemetry.command (id, gateway_id, kind, argument, issued_at, expires_at, next_at)
SELECT $1, g.id, $3, $4, $5, $6, $5
FROM platform.gateway AS g
WHERE g.name = $2 AND g.revoked_at IS NULL
RETURNING gateway_id
