DELETE FROM access.oidc_provider WHERE name = $1
