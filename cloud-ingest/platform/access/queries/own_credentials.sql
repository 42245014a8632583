SELECT email, password_hash FROM access.user WHERE id = $1 AND organization_id = $2
