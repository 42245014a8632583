-- Whether telemetry.sample is natively partitioned; NULL: it is not there.
SELECT (SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('telemetry.sample')) AS by_day
