INSERT INTO events.received (source, message_id, organization_id, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
