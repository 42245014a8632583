INSERT INTO depots.depot (organization_id, id, name, version, etag) VALUES ($1, $2, $3, 1, $4)
ON CONFLICT DO NOTHING
