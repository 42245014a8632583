SELECT id, name, issuer, client_id, created_at FROM access.oidc_provider ORDER BY name
