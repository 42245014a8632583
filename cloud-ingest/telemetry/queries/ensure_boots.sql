INSERT INTO telemetry.boot (gateway_id, boot)
SELECT gateway_id, boot FROM unnest($1::int[], $2::bigint[]) AS u (gateway_id, boot)
ORDER BY gateway_id, boot
ON CONFLICT DO NOTHING
