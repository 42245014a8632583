-- Vehicles that are known to be at a connector, and from when until when.
SELECT v.asset_id, t.started_at, t.ended_at
FROM charging.vehicle AS v
JOIN telemetry.charging_transaction AS t ON t.id = v.transaction_id
WHERE v.organization_id = $1 AND v.asset_id IS NOT NULL AND (v.certain OR v.assigned_by IS NOT NULL)
  AND t.started_at > $2::timestamptz - interval '2 days' AND (t.ended_at IS NULL OR t.ended_at > $2::timestamptz - interval '1 day')
