UPDATE access.user SET code_step = $2 WHERE id = $1 AND (code_step IS NULL OR code_step < $2)
