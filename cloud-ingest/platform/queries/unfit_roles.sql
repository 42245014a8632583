-- Roles that may more than the programs that act as them should, or that this login may not become.
SELECT r.rolname::text AS role,
       CASE
           WHEN r.rolsuper THEN 'is a superuser'
           WHEN r.rolbypassrls THEN 'bypasses row-level security'
           WHEN r.rolcanlogin THEN 'can log in by itself'
           WHEN NOT pg_has_role(current_user, r.oid, 'MEMBER') THEN 'may not be taken on by this login'
       END AS fault
FROM pg_roles AS r
WHERE r.rolname IN ('patio_app', 'patio_system', 'patio_reader')
  AND (r.rolsuper OR r.rolbypassrls OR r.rolcanlogin OR NOT pg_has_role(current_user, r.oid, 'MEMBER'))
