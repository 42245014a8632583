-- Events of an organisation after a position.
SELECT position, event_id, aggregate, sequence, name, version, payload, request_id, at FROM events.log
WHERE organization_id = $1 AND position > $2 ORDER BY position LIMIT $3
