INSERT INTO access.attempt (account, failures, last_at) VALUES ($1, 0, $2) ON CONFLICT (account) DO NOTHING
