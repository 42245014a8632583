SELECT u.id, u.email, u.name, u.needs_code, u.created_at, u.disabled_at,
       (SELECT coalesce(array_agg(r.role ORDER BY r.role), '{}') FROM access.user_role AS r WHERE r.user_id = u.id) AS roles
FROM access.user AS u
WHERE u.id > $1
ORDER BY u.id
LIMIT $2
