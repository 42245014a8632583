-- Unassigned assets for the local keys of a gateway that mean nothing yet. The gateway's row is locked.
WITH missing AS (
    SELECT DISTINCT k.local_key, $2 || '/' || k.local_key AS name
    FROM unnest($3::text[]) AS k (local_key)
    WHERE NOT EXISTS (
        SELECT FROM platform.gateway_asset AS a WHERE a.gateway_id = $1 AND a.local_key = k.local_key
    )
), made AS (
    INSERT INTO platform.asset (organization_id, name)
    SELECT g.organization_id, m.name
    FROM missing AS m, platform.gateway AS g WHERE g.id = $1
    RETURNING id, organization_id, name
)
INSERT INTO platform.gateway_asset (gateway_id, local_key, organization_id, asset_id)
SELECT $1, m.local_key, made.organization_id, made.id
FROM made JOIN missing AS m USING (name)
