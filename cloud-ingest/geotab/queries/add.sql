INSERT INTO geotab.account AS a (organization_id, database, server, user_name, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (database) DO UPDATE SET server = excluded.server, user_name = excluded.user_name, removed_at = NULL, fault = ''
WHERE a.organization_id = excluded.organization_id
RETURNING id
