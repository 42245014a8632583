SELECT o.id, o.name, o.created_at, (SELECT count(*) FROM platform.gateway AS g WHERE g.organization_id = o.id) AS gateways
FROM platform.organization AS o
ORDER BY o.id
