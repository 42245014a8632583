SELECT id, organization_id, password_hash, code_secret, code_sealed, disabled_at IS NOT NULL AS disabled FROM access.user WHERE email = $1
