SELECT failures, last_at, locked_until FROM access.attempt WHERE account = $1 FOR UPDATE
