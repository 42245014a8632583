UPDATE telemetry.command
SET state = 'expired', ended_at = $1, detail = 'there was no answer'
WHERE id = ANY (ARRAY(
    SELECT id FROM telemetry.command
    WHERE state IN ('queued', 'sent', 'received') AND expires_at < $1::timestamptz - interval '1 minute'
    ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED))
