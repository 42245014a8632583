SELECT id, organization_id, issuer, client_id, client_secret FROM access.oidc_provider WHERE name = $1
