INSERT INTO access.oidc_link (provider_id, subject, organization_id, user_id, linked_at)
SELECT $1, $2, u.organization_id, u.id, $5
FROM access.user AS u
WHERE u.organization_id = $3 AND u.email = $4 AND u.disabled_at IS NULL
ON CONFLICT DO NOTHING
RETURNING user_id
