SELECT a.id, a.name, a.kind, o.name AS organization, a.created_at, g.gateways, g.local_keys, l.last_seen
FROM platform.asset AS a
JOIN platform.organization AS o ON o.id = a.organization_id
CROSS JOIN LATERAL (
    SELECT array_agg(w.name ORDER BY w.name, m.local_key) AS gateways,
           array_agg(m.local_key ORDER BY w.name, m.local_key) AS local_keys
    FROM platform.gateway_asset AS m
    JOIN platform.gateway AS w ON w.id = m.gateway_id
    WHERE m.asset_id = a.id
) AS g
CROSS JOIN LATERAL (
    SELECT max(t.time) AS last_seen
    FROM (
        SELECT time FROM telemetry.latest WHERE asset_id = a.id
        UNION ALL
        SELECT time FROM telemetry.extra_latest WHERE asset_id = a.id
    ) AS t
) AS l
WHERE a.id > $1
ORDER BY a.id
LIMIT $2
