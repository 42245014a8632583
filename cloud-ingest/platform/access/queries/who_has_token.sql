SELECT s.id AS session_id, s.user_id, s.organization_id,
       (SELECT coalesce(array_agg(r.role), '{}') FROM access.user_role AS r WHERE r.user_id = s.user_id) AS roles
FROM access.token AS t
JOIN access.session AS s ON s.id = t.session_id
JOIN access.user AS u ON u.id = s.user_id
WHERE t.hash = $1 AND t.sort = $2 AND t.expires_at > $3 AND s.expires_at > $3 AND s.ended_at IS NULL AND u.disabled_at IS NULL
