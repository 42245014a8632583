UPDATE platform.gateway_key AS k SET revoked_at = coalesce(k.revoked_at, $3)
FROM platform.gateway AS g
WHERE g.id = k.gateway_id AND g.name = $1 AND k.public_key = $2
