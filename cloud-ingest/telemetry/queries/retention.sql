SELECT what, $1::timestamptz - keep AS horizon, compress_after::text AS compress_after FROM telemetry.retention ORDER BY what
