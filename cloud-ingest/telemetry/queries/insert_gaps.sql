INSERT INTO telemetry.gap (epoch_id, stream, seq, gateway_id, reason, samples, thinned, received_at)
SELECT epoch_id, stream, seq, gateway_id, reason, samples, thinned, $8
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[], $5::text[], $6::bigint[], $7::bigint[])
    AS u (epoch_id, stream, seq, gateway_id, reason, samples, thinned)
