SELECT id FROM platform.asset WHERE organization_id = $1 AND id = $2
