-- The contents of files: one for each organisation that has it.
SELECT DISTINCT organization_id, encode(sha256, 'hex') FROM vault.file ORDER BY 1, 2
