UPDATE geotab.feed SET version = $4, records = records + $5, moved_at = $6 WHERE account_id = $1 AND entity = $2 AND version = $3
