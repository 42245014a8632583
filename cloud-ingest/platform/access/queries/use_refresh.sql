UPDATE access.token SET used_at = $2 WHERE hash = $1
