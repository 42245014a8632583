UPDATE access.user SET disabled_at = coalesce(disabled_at, $2) WHERE id = $1
