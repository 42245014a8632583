SELECT version FROM geotab.feed WHERE account_id = $1 AND entity = $2
