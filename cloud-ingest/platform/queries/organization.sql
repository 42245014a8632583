SELECT id FROM platform.organization WHERE name = $1
