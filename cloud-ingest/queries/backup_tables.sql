-- Every table whose rows are somebody's: those of the rooms; partitions and chunks are in their parents' counts.
SELECT c.oid::regclass::text FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
  AND n.nspname !~ '^(pg_|_?timescaledb|toolkit_experimental|information_schema$)'
ORDER BY 1
