-- Tables of the rooms; partitions and chunks are counted with what they are part of.
SELECT c.oid::regclass::text AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname !~ '^(pg_|information_schema$|_?timescaledb|toolkit_experimental)'
ORDER BY name
