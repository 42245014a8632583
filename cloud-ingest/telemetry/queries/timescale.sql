-- Whether the extension is in this database, and whether its loader was preloaded.
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS created,
       current_setting('timescaledb.disable_load', true) IS NOT NULL AS loaded
