UPDATE access.oidc_provider SET client_secret = $2 WHERE id = $1
