SELECT t.session_id, t.organization_id, t.used_at IS NOT NULL AS used,
       t.expires_at > $2 AND s.expires_at > $2 AND s.ended_at IS NULL AND u.disabled_at IS NULL AS good, s.expires_at
FROM access.token AS t
JOIN access.session AS s ON s.id = t.session_id
JOIN access.user AS u ON u.id = s.user_id
WHERE t.hash = $1 AND t.sort = 'refresh'
FOR UPDATE OF t
