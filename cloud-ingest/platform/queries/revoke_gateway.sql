UPDATE platform.gateway SET revoked_at = coalesce(revoked_at, $2) WHERE name = $1
