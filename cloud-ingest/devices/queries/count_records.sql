UPDATE devices.device AS d
SET records = d.records + u.records, last_at = greatest(d.last_at, u.last_at), seen_at = $4
FROM unnest($1::int[], $2::bigint[], $3::timestamptz[]) AS u (device_id, records, last_at)
WHERE d.id = u.device_id
