INSERT INTO events.head (organization_id, position) VALUES ($1, 0) ON CONFLICT DO NOTHING
