SELECT secret FROM events.endpoint WHERE id = $1 FOR UPDATE
