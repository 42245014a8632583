-- Only of the gateway's own commands; what was done or refused stays so.
UPDATE telemetry.command AS c
SET state = u.state, detail = u.detail,
    received_at = coalesce(c.received_at, u.time),
    ended_at = CASE u.state WHEN 'received' THEN c.ended_at ELSE u.time END
FROM (
    SELECT DISTINCT ON (gateway_id, id) *
    FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::timestamptz[]) AS a (gateway_id, id, state, detail, time)
    ORDER BY gateway_id, id, state = 'received', time
) AS u
WHERE c.id = u.id AND c.gateway_id = u.gateway_id
  AND (c.state IN ('queued', 'sent', 'expired') OR c.state = 'received' AND u.state <> 'received')
