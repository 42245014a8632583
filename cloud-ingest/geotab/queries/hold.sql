UPDATE geotab.account SET holder = $1, held_until = $2::timestamptz + interval '1 minute'
WHERE removed_at IS NULL AND password IS NOT NULL AND (holder = $1 OR held_until IS NULL OR held_until < $2)
RETURNING id, organization_id, database, server, user_name, password, created_at
