SELECT g.id, o.name AS organization, g.name, g.created_at, g.revoked_at,
       (SELECT count(*) FROM platform.gateway_key AS k WHERE k.gateway_id = g.id AND k.revoked_at IS NULL) AS keys
FROM platform.gateway AS g
JOIN platform.organization AS o ON o.id = g.organization_id
ORDER BY g.name
