-- Files after a number, of one content or (NULL) of any.
SELECT id, sha256, size, media_type, name, scanned, created_by, created_at FROM vault.file
WHERE id > $1 AND ($2::bytea IS NULL OR sha256 = $2) ORDER BY id LIMIT $3
