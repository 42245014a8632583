DELETE FROM events.endpoint WHERE id = $1
