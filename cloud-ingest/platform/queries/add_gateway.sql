INSERT INTO platform.gateway (organization_id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING
