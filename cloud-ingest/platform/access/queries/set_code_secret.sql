UPDATE access.user SET code_secret = $2, code_step = NULL WHERE id = $1
