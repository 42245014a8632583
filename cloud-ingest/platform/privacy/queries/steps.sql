SELECT number, what, relation, columns, rows, digest, because FROM privacy.step
WHERE organization_id = $1 AND request_id = $2 ORDER BY number
