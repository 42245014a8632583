INSERT INTO privacy.forgotten (relation, at, rows) VALUES ($1, $2, $3)
