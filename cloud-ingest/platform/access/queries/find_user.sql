SELECT id FROM access.user WHERE email = $1
