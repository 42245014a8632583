-- Transactions whose vehicle is not certain, with the asset whose samples are those of their connector. What was measured for hours
-- and told nothing will not; what came late is looked at for an hour, for the rest of it may come later still.
SELECT a.organization_id, t.id, t.asset_id AS station, coalesce(t.evse, 1) AS evse, t.token, t.started_at, t.ended_at,
       CASE WHEN coalesce(t.evse, 1) <= 1 THEN t.asset_id ELSE other.asset_id END AS connector
FROM telemetry.charging_transaction AS t
JOIN platform.asset AS a ON a.id = t.asset_id
LEFT JOIN charging.vehicle AS v ON v.transaction_id = t.id
LEFT JOIN LATERAL (
    SELECT o.asset_id
    FROM platform.gateway_asset AS own
    JOIN platform.gateway_asset AS o ON o.gateway_id = own.gateway_id AND o.local_key = own.local_key || '.' || t.evse
    WHERE own.gateway_id = t.gateway_id AND own.asset_id = t.asset_id
    LIMIT 1
) AS other ON true
WHERE t.started_at > $1::timestamptz - interval '1 day' AND t.started_at <= $1::timestamptz + interval '10 minutes'
  AND (t.ended_at IS NULL OR t.ended_at > $1::timestamptz - interval '2 hours')
  AND (v.transaction_id IS NULL OR (v.assigned_by IS NULL AND NOT v.certain
      AND (t.started_at > $1::timestamptz - interval '3 hours' OR v.decided_at > $1::timestamptz - interval '1 hour')))
ORDER BY a.organization_id, t.id
LIMIT $2
