-- Every column of every table of the rooms: its type, and the table that it refers to. Partitions and chunks are their parent's.
SELECT c.oid::regclass::text AS relation, replace(c.oid::regclass::text, '"', '') AS plain, a.attname::text AS name,
       format_type(a.atttypid, NULL) AS type,
       (SELECT min(replace(f.confrelid::regclass::text, '"', '')) FROM pg_constraint AS f
        WHERE f.contype = 'f' AND f.conrelid = c.oid AND a.attnum = ANY (f.conkey)
          AND f.confrelid = ANY ($1::text[]::regclass[]) AND a.attname <> 'organization_id') AS person
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
  AND n.nspname !~ '^(pg_|_?timescaledb|toolkit_experimental|information_schema$)'
ORDER BY 1, a.attnum
