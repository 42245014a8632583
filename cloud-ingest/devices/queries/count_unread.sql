-- A device that invents a thousand names is one of which no more can be learnt.
INSERT INTO devices.unread AS o (organization_id, device_id, code, reason, occurrences, detail, last_at)
SELECT d.organization_id, u.device_id, u.code, u.reason, u.occurrences, u.detail, u.last_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[])
    AS u (device_id, code, reason, occurrences, detail, last_at)
JOIN devices.device AS d ON d.id = u.device_id
WHERE (SELECT count(*) FROM devices.unread AS k WHERE k.device_id = u.device_id) < 1000
    OR EXISTS (SELECT FROM devices.unread AS k WHERE k.device_id = u.device_id AND k.code = u.code AND k.reason = u.reason)
ORDER BY u.device_id, u.code, u.reason
ON CONFLICT (device_id, code, reason) DO UPDATE
SET occurrences = o.occurrences + excluded.occurrences, detail = excluded.detail, last_at = greatest(o.last_at, excluded.last_at)
