SELECT id, column_name, column_type, name, unit, resolution::text AS resolution, about
FROM telemetry.signal
ORDER BY position
