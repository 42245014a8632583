INSERT INTO geotab.fault (organization_id, account_id, id, device_id, time, diagnostic, payload)
SELECT $1, $2, u.id, u.device_id, u.time, u.diagnostic, u.payload::jsonb
FROM unnest($3::text[], $4::int[], $5::timestamptz[], $6::text[], $7::text[]) AS u (id, device_id, time, diagnostic, payload)
ORDER BY u.id
ON CONFLICT DO NOTHING
