UPDATE access.api_key SET rotated_to = $2, expires_at = least(expires_at, $3) WHERE id = $1
