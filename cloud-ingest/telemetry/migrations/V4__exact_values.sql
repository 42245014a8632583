-- Values are exact decimals, rounded once to the nearest float: what SQL says and what programs say is the same to the
-- last bit.

CREATE FUNCTION telemetry.extra_value(encoding smallint, raw bigint, value double precision, scale numeric, shift numeric)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE encoding
        WHEN 0 THEN (raw::numeric * scale + shift)::double precision
        WHEN 1 THEN ((CASE WHEN raw >= 0 THEN raw::numeric ELSE raw::numeric + 18446744073709551616 END) * scale + shift)::double precision
        ELSE value
    END
$$;
COMMENT ON FUNCTION telemetry.extra_value(smallint, bigint, double precision, numeric, numeric) IS 'The value of a sample outside the catalogue: the float nearest to the exact decimal.';

CREATE OR REPLACE VIEW telemetry.extra_reading AS
SELECT s.asset_id, s.source, e.time, s.name, s.unit,
       telemetry.extra_value(s.encoding, e.raw, e.value, s.scale, s.shift) AS value
FROM telemetry.extra AS e
JOIN telemetry.extra_signal AS s ON s.id = e.signal_id;

DROP FUNCTION telemetry.extra_value(smallint, bigint, double precision, double precision, double precision);
ALTER TABLE telemetry.extra_signal DROP COLUMN scale_float, DROP COLUMN shift_float;
