-- A delivery with all that is needed to send it.
SELECT d.endpoint_id, d.state, e.url, e.secret, e.old_secret, e.old_until, e.disabled_at IS NOT NULL AS disabled,
       l.position, l.event_id, l.aggregate, l.sequence, l.name, l.version, l.payload, l.request_id, l.at
FROM events.delivery AS d
JOIN events.endpoint AS e ON e.organization_id = d.organization_id AND e.id = d.endpoint_id
JOIN events.log AS l ON l.organization_id = d.organization_id AND l.position = d.position
WHERE d.id = $1
