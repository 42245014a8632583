-- Every table and view of the rooms, what the roles of organisations may do with it, and what keeps them apart.
SELECT c.oid::regclass::text AS name,
       c.relkind::text AS kind,
       EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped) AS of_organization,
       has_any_column_privilege('patio_app', c.oid, 'SELECT') AS app_reads,
       has_any_column_privilege('patio_app', c.oid, 'INSERT') OR has_any_column_privilege('patio_app', c.oid, 'UPDATE')
           OR has_table_privilege('patio_app', c.oid, 'DELETE') AS app_writes,
       has_any_column_privilege('patio_reader', c.oid, 'SELECT') AS reader_reads,
       has_any_column_privilege('patio_reader', c.oid, 'INSERT') OR has_any_column_privilege('patio_reader', c.oid, 'UPDATE')
           OR has_table_privilege('patio_reader', c.oid, 'DELETE') AS reader_writes,
       c.relrowsecurity AND c.relforcerowsecurity AS forced,
       coalesce('security_barrier=true' = ANY (c.reloptions), false) AS barrier,
       EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'shared') AS shared,
       EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'organization' AND p.polroles @> ARRAY['patio_app'::regrole::oid]) AS policy_app,
       EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polroles @> ARRAY['patio_reader'::regrole::oid]) AS policy_reader,
       pg_get_userbyid(c.relowner)::text AS owner
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (n.nspname !~ '^(pg_|_?timescaledb|toolkit_experimental|information_schema$)'
       -- Chunks of hypertables, which stand in a schema of the extension.
       OR EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS parent ON parent.oid = i.inhparent
                  JOIN pg_namespace AS room ON room.oid = parent.relnamespace
                  WHERE i.inhrelid = c.oid AND room.nspname !~ '^(pg_|_?timescaledb)'))
ORDER BY name
