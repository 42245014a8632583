SELECT id FROM devices.device WHERE id = ANY ($1::int[]) ORDER BY id FOR UPDATE
