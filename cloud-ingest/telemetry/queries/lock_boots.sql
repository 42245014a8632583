SELECT b.gateway_id, b.boot, b.wall_offset_us
FROM telemetry.boot AS b
WHERE (b.gateway_id, b.boot) IN (SELECT * FROM unnest($1::int[], $2::bigint[]))
ORDER BY b.gateway_id, b.boot
FOR SHARE
