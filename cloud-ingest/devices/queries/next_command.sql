UPDATE devices.command AS c
SET state = 'sent', sent_at = $2
WHERE c.id = (SELECT o.id FROM devices.command AS o
              WHERE o.device_id = $1 AND o.state = 'queued' AND o.expires_at > $2
              ORDER BY o.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING c.id, c.text
