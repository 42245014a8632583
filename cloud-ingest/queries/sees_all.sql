SELECT rolsuper OR rolbypassrls, current_user::text FROM pg_roles WHERE rolname = current_user
