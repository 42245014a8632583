SELECT id, name, created_at FROM platform.organization WHERE id = $1
