-- What is due to be sent, with the next time doubling from 10 s to 5 min. Whoever takes it sends it.
UPDATE telemetry.command AS c
SET state = CASE c.state WHEN 'queued' THEN 'sent' ELSE c.state END, sends = c.sends + 1, sent_at = $1,
    next_at = $1::timestamptz + least(interval '10 seconds' * 2 ^ least(c.sends, 10), interval '5 minutes')
FROM platform.gateway AS g
WHERE g.id = c.gateway_id AND c.id = ANY (ARRAY(
    SELECT o.id FROM telemetry.command AS o
    WHERE o.state IN ('queued', 'sent', 'received') AND o.next_at <= $1 AND o.expires_at > $1
    ORDER BY o.next_at LIMIT 100 FOR UPDATE SKIP LOCKED))
RETURNING c.id, g.name AS gateway, c.kind, c.argument, c.issued_at, c.expires_at
