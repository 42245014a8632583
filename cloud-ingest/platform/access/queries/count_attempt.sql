UPDATE access.attempt SET failures = $2, last_at = $3, locked_until = $4 WHERE account = $1
