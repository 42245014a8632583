UPDATE access.user SET code_secret = NULL, code_sealed = $3 WHERE id = $1 AND code_secret = $2
