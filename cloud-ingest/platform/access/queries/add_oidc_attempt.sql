INSERT INTO access.oidc_attempt (state, browser, organization_id, provider_id, return_to, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
