-- The first offset that is learnt stays. Waits for transactions that are keeping blocks of the boot unexpanded.
INSERT INTO telemetry.boot AS b (gateway_id, boot, wall_offset_us)
SELECT gateway_id, boot, wall_offset_us
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS u (gateway_id, boot, wall_offset_us)
ORDER BY gateway_id, boot
ON CONFLICT (gateway_id, boot) DO UPDATE SET wall_offset_us = EXCLUDED.wall_offset_us WHERE b.wall_offset_us IS NULL
