SELECT d.id, o.name AS organization, a.name AS asset, d.asset_id, d.kind, d.key, d.created_at, d.removed_at, d.records, d.last_at,
       d.seen_at
FROM devices.device AS d
JOIN platform.organization AS o ON o.id = d.organization_id
JOIN platform.asset AS a ON a.id = d.asset_id
WHERE d.id > $1
ORDER BY d.id
LIMIT $2
