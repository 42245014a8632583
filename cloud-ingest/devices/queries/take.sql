INSERT INTO devices.taken (organization_id, device_id, time, digest, taken_at)
SELECT d.organization_id, u.device_id, u.time, u.digest, $4
FROM unnest($1::int[], $2::timestamptz[], $3::bytea[]) AS u (device_id, time, digest)
JOIN devices.device AS d ON d.id = u.device_id
ORDER BY u.device_id, u.time, u.digest
ON CONFLICT DO NOTHING
RETURNING device_id, time, digest
