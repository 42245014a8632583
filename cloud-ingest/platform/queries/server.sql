-- What the server is. The loader of TimescaleDB defines timescaledb.disable_load when it is preloaded.
SELECT current_setting('server_version_num')::int AS version,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescale,
       current_setting('timescaledb.license', true) AS license,
       current_setting('timescaledb.disable_load', true) IS NOT NULL
           AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS loaded,
       pg_is_in_recovery() AS standby,
       current_database()::text AS database
