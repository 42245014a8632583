INSERT INTO telemetry.record (epoch_id, stream, seq, place, gateway_id, time, asset_id, kind, payload)
SELECT epoch_id, stream, seq, place, gateway_id, time, asset_id, kind, payload::jsonb
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[], $5::int[], $6::timestamptz[], $7::int[], $8::text[], $9::text[])
    AS u (epoch_id, stream, seq, place, gateway_id, time, asset_id, kind, payload)
