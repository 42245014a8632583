SELECT g.id, g.organization_id, g.revoked_at IS NOT NULL AS gateway_revoked,
       k.id AS key_id, k.public_key, k.from_counter, k.revoked_at IS NOT NULL AS key_revoked
FROM platform.gateway AS g
LEFT JOIN platform.gateway_key AS k ON k.gateway_id = g.id
WHERE g.name = $1
ORDER BY k.from_counter DESC, k.id DESC
