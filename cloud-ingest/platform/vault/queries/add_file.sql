INSERT INTO vault.file (organization_id, sha256, size, media_type, name, scanned, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
