INSERT INTO access.user_role (user_id, role, organization_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
