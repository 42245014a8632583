SELECT a.database, o.name AS organization, a.user_name, a.removed_at, a.fault
FROM geotab.account AS a
JOIN platform.organization AS o ON o.id = a.organization_id
ORDER BY a.database
