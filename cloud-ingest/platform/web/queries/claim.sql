-- Whoever comes second waits here until the first has committed, and then finds its answer.
INSERT INTO web.answer (organization_id, caller, key, method, path, digest) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
