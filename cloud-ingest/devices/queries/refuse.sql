INSERT INTO devices.refused (organization_id, device_id, digest, reason, detail, payload, received_at)
SELECT d.organization_id, u.device_id, u.digest, u.reason, u.detail, u.payload, $6
FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::bytea[]) AS u (device_id, digest, reason, detail, payload)
JOIN devices.device AS d ON d.id = u.device_id
ON CONFLICT DO NOTHING
