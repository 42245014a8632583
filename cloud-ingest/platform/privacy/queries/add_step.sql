INSERT INTO privacy.step (organization_id, request_id, number, what, relation, columns, rows, digest, because)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
