UPDATE access.session SET ended_at = $2, ended_because = $3 WHERE id = $1 AND ended_at IS NULL
