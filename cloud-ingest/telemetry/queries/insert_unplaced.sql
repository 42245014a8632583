INSERT INTO telemetry.unplaced (epoch_id, stream, seq, gateway_id, boot, samples, received_at, payload)
SELECT u.epoch_id, u.stream, u.seq, u.gateway_id, u.boot, u.samples, $8, u.payload
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[], $5::bigint[], $6::int[], $7::bytea[])
    AS u (epoch_id, stream, seq, gateway_id, boot, samples, payload)
