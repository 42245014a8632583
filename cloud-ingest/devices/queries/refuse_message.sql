INSERT INTO devices.refused (organization_id, device_id, digest, reason, detail, payload, received_at)
SELECT d.organization_id, d.id, $2, 'unreadable', $3, $4, $5
FROM devices.device AS d
WHERE d.id = $1 AND (SELECT count(*) FROM devices.refused AS r WHERE r.device_id = $1 AND r.reason = 'unreadable') < $6::bigint
ON CONFLICT DO NOTHING
