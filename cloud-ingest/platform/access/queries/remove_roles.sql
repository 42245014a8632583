DELETE FROM access.user_role WHERE user_id = $1 RETURNING role
