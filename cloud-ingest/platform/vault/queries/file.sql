SELECT id, sha256, size, media_type, name, created_by, created_at FROM vault.file WHERE id = $1
