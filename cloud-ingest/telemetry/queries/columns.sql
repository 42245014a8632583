SELECT number, asset_id, local_key, source, signal_id, extra_signal_id, name, unit, encoding,
       scale_mantissa, scale_exponent, shift_mantissa, shift_exponent
FROM telemetry.column_def
WHERE epoch_id = $1
