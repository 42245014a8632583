SELECT c.id, g.name AS gateway, c.kind, c.argument, c.state, c.detail, c.issued_at, c.expires_at, c.sends, c.sent_at,
       c.received_at, c.ended_at
FROM telemetry.command AS c
JOIN platform.gateway AS g ON g.id = c.gateway_id
WHERE ($1::text IS NULL OR g.name = $1) AND ($2::bytea IS NULL OR c.id = $2)
  AND ($3::timestamptz IS NULL OR (c.issued_at, c.id) < ($3, $4::bytea))
ORDER BY c.issued_at DESC, c.id DESC
LIMIT $5
