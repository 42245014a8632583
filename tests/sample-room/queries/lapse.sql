UPDATE sample.readiness SET lapsed_at = $2 WHERE id = $1 AND lapsed_at IS NULL
