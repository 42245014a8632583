DELETE FROM access.attempt WHERE account = $1
