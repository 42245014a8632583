UPDATE access.user SET code_secret = NULL, code_sealed = $2, code_step = NULL WHERE id = $1
