SELECT id, asset_id, state_of_charge, declared_at, lapsed_at FROM sample.readiness
WHERE ($1::bigint IS NULL OR id > $1) ORDER BY id LIMIT $2
