SELECT id, kind, subject, origin, asked_at, due_on, state, ended_at, because, proof
FROM privacy.request WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3
