INSERT INTO access.oidc_provider (organization_id, name, issuer, client_id, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO NOTHING
RETURNING id
