DELETE FROM platform.reader WHERE role_name = $1::text::name RETURNING quote_ident(role_name)
