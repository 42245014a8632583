UPDATE events.endpoint SET secret = $2, old_secret = $3, old_until = $4 WHERE id = $1
