DELETE FROM devices.taken AS t
USING devices.device AS d
WHERE d.id = t.device_id AND t.taken_at < d.seen_at - $1::bigint * interval '1 second'
