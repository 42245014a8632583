-- Everything that a schema is, one line each: what two ways of making it have to agree on.
WITH rooms AS (
    SELECT oid, nspname, nspacl FROM pg_namespace
    WHERE nspname !~ '^(pg_|_?timescaledb|toolkit_experimental|information_schema|public$)'
), relations AS (
    SELECT c.* FROM pg_class AS c JOIN rooms ON rooms.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'S')
)
SELECT line FROM (
    SELECT format('schema %s %s %s', nspname, obj_description(oid, 'pg_namespace'), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(nspacl) AS a)) FROM rooms
    UNION ALL
    SELECT format('relation %s %s rls %s %s options %s acl %s: %s', oid::regclass, relkind, relrowsecurity, relforcerowsecurity, reloptions,
        (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) AS a), obj_description(oid, 'pg_class')) FROM relations
    UNION ALL
    SELECT format('column %s.%s %s %s %s %s%s: %s', r.oid::regclass, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity, a.attgenerated, col_description(r.oid, a.attnum)) || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(c.oid)) FROM pg_constraint AS c JOIN rooms ON rooms.oid = c.connamespace
    UNION ALL
    SELECT format('index %s', pg_get_indexdef(i.indexrelid)) FROM pg_index AS i JOIN relations AS r ON r.oid = i.indrelid
    UNION ALL
    SELECT format('view %s %s', oid::regclass, pg_get_viewdef(oid)) FROM relations WHERE relkind = 'v'
    UNION ALL
    SELECT format('policy %s %s %s %s %s %s', polrelid::regclass, polname, polcmd, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM pg_policy WHERE polrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('routine %s %s acl %s', pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(p.proacl) AS a))
    FROM pg_proc AS p JOIN rooms ON rooms.oid = p.pronamespace
    UNION ALL
    SELECT format('trigger %s %s', t.tgrelid::regclass, pg_get_triggerdef(t.oid)) FROM pg_trigger AS t JOIN relations AS r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('default %s %s %s', d.defaclnamespace::regnamespace, d.defaclobjtype, d.defaclacl) FROM pg_default_acl AS d JOIN rooms ON rooms.oid = d.defaclnamespace
) AS lines (line)
ORDER BY line
