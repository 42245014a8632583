SELECT organization_id, id FROM privacy.request WHERE state = 'open' AND due_on < $1 ORDER BY id
