SELECT e.id, e.gateway_id, e.counter, e.nonce, e.key_id
FROM telemetry.epoch AS e
JOIN unnest($1::int[], $2::bigint[], $3::bigint[]) AS u (gateway_id, counter, nonce) USING (gateway_id, counter, nonce)
