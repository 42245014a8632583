-- Deliveries of the events between two positions to every endpoint that wants them, with the request of each event.
WITH made AS (
    INSERT INTO events.delivery (organization_id, endpoint_id, position, state, created_at)
    SELECT l.organization_id, e.id, l.position, 'waiting', $4
    FROM events.log AS l
    JOIN events.endpoint AS e ON e.organization_id = l.organization_id AND l.name = ANY (e.names) AND e.disabled_at IS NULL
    WHERE l.organization_id = $1 AND l.position > $2 AND l.position <= $3
    ORDER BY l.position, e.id
    RETURNING id, position
)
SELECT made.id, l.request_id FROM made JOIN events.log AS l ON l.organization_id = $1 AND l.position = made.position
ORDER BY made.id
