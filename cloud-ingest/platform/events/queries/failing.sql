-- A delivery has failed: since when has every one?
UPDATE events.endpoint SET failing_since = coalesce(failing_since, $2) WHERE id = $1 RETURNING failing_since, disabled_at
