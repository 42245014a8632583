INSERT INTO telemetry.quarantine AS q (digest, gateway, number, closed, reason, detail, topic, samples, received_at, last_at, size, payload)
SELECT digest, gateway, number, closed, reason, detail, topic, samples, $11, $11, size, payload
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::int[], $10::bytea[])
    AS u (digest, gateway, number, closed, reason, detail, topic, samples, size, payload)
ORDER BY digest
ON CONFLICT (digest) DO UPDATE
SET deliveries = q.deliveries + 1, last_at = EXCLUDED.last_at, gateway = EXCLUDED.gateway, closed = q.closed OR EXCLUDED.closed,
    reason = EXCLUDED.reason, detail = EXCLUDED.detail
