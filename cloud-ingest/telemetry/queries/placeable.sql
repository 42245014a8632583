-- Blocks whose boot has learnt the time since, oldest first.
SELECT u.epoch_id, u.payload, b.wall_offset_us, u.gateway_id, e.key_id
FROM telemetry.unplaced AS u
JOIN telemetry.boot AS b USING (gateway_id, boot)
JOIN telemetry.epoch AS e ON e.id = u.epoch_id
WHERE b.wall_offset_us IS NOT NULL
ORDER BY u.epoch_id, u.stream, u.seq
LIMIT 100
