SELECT device_id, code, reason, occurrences, detail, last_at
FROM devices.unread
WHERE device_id = ANY ($1::int[])
ORDER BY device_id, code, reason
