-- What the views over the catalogue's columns say of themselves; NULL: they are not there.
SELECT obj_description(to_regclass('telemetry.reading'), 'pg_class') AS reading,
       obj_description(to_regclass('telemetry.sample_step'), 'pg_class') AS sample_step
