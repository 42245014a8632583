SELECT u.id, u.disabled_at IS NOT NULL AS disabled
FROM access.oidc_link AS l
JOIN access.user AS u ON u.id = l.user_id
WHERE l.provider_id = $1 AND l.subject = $2
