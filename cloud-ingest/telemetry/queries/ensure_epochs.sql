INSERT INTO telemetry.epoch (gateway_id, counter, nonce, key_id)
SELECT DISTINCT ON (gateway_id, counter, nonce) gateway_id, counter, nonce, key_id
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[], $5::boolean[]) AS u (gateway_id, counter, nonce, key_id, begin)
WHERE begin
ORDER BY gateway_id, counter, nonce
ON CONFLICT DO NOTHING
