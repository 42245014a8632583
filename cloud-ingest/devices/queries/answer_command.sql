UPDATE devices.command AS c
SET state = $3, answer = $4, ended_at = $5
WHERE c.id = (SELECT o.id FROM devices.command AS o
              WHERE o.device_id = $1 AND o.sent_at IS NOT NULL AND o.state IN ('sent', 'expired') AND ($2::bigint IS NULL OR o.id = $2)
              ORDER BY o.id LIMIT 1 FOR UPDATE)
RETURNING c.id
