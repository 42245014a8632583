-- The deliveries of an endpoint before a number (NULL: from the last on), the newest first, in one state or (NULL) all.
SELECT d.id, d.position, d.state, d.attempts, d.created_at, d.ended_at, l.event_id, l.name
FROM events.delivery AS d JOIN events.log AS l ON l.organization_id = d.organization_id AND l.position = d.position
WHERE d.endpoint_id = $1 AND ($2::bigint IS NULL OR d.id < $2) AND ($3::text IS NULL OR d.state = $3)
ORDER BY d.id DESC LIMIT $4
