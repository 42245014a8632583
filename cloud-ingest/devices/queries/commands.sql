SELECT c.id, d.kind, d.key, c.text, c.state, c.answer, c.issued_at, c.expires_at, c.sent_at, c.ended_at
FROM devices.command AS c
JOIN devices.device AS d ON d.id = c.device_id
ORDER BY c.id DESC
LIMIT $1
