INSERT INTO telemetry.column_def (epoch_id, number, asset_id, local_key, source, signal_id, extra_signal_id, name, unit,
    encoding, scale_mantissa, scale_exponent, shift_mantissa, shift_exponent)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::smallint[], $6::int[], $7::int[], $8::text[],
    $9::text[], $10::smallint[], $11::bigint[], $12::smallint[], $13::bigint[], $14::smallint[])
