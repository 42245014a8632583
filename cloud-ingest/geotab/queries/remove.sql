UPDATE geotab.account SET removed_at = $2 WHERE database = $1 AND removed_at IS NULL
