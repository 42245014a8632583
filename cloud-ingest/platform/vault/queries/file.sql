SELECT id, sha256, size, media_type, name, scanned, created_by, created_at FROM vault.file WHERE id = $1
