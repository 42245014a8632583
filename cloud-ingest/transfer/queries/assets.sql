SELECT a.id, a.name FROM platform.asset AS a WHERE a.organization_id = $1 ORDER BY a.id
