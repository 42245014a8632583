-- Tables, views and their columns without a comment. Partitions inherit what their parent says.
SELECT c.oid::regclass::text || coalesce('.' || a.attname, '')
FROM pg_class AS c
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = $1::text::regnamespace
  AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
ORDER BY c.relname, a.attnum
