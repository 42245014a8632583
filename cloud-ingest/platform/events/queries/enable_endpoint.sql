UPDATE events.endpoint SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL WHERE id = $1
