SELECT id, code_secret FROM access.user WHERE code_secret IS NOT NULL ORDER BY id LIMIT 500
