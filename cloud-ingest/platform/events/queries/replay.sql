-- Deliveries of an endpoint that have ended wait again: these ($2), or (NULL) all that failed since $3.
UPDATE events.delivery SET state = 'waiting', ended_at = NULL
WHERE endpoint_id = $1 AND state <> 'waiting'
  AND CASE WHEN $2::bigint[] IS NULL THEN state = 'failed' AND created_at >= $3 ELSE id = ANY ($2) END
RETURNING id
