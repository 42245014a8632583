INSERT INTO privacy.request (organization_id, kind, subject, origin, asked_by, request_id, asked_at, due_on, also, receipt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id
