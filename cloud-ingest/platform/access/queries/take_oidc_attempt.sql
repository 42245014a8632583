DELETE FROM access.oidc_attempt WHERE state = $1 RETURNING browser, provider_id, return_to, expires_at
