-- The database gives it its number and hash (trigger `link`).
INSERT INTO audit.entry (seq, organization_id, at, actor, action, subject, before, after, request_id, hash)
VALUES (0, $1, $2, $3, $4, $5, $6, $7, $8, '')
RETURNING seq, hash
