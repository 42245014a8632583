UPDATE devices.device SET removed_at = $3 WHERE kind = $1 AND key = $2 AND removed_at IS NULL
