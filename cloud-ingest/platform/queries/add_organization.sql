INSERT INTO platform.organization (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
