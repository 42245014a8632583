SELECT t.id, t.asset_id, t.station, t.evse, t.token, t.started_at, t.energy_mwh
FROM telemetry.own_charging_transaction AS t
LEFT JOIN charging.vehicle AS v ON v.transaction_id = t.id
WHERE t.ended_at IS NULL AND v.asset_id IS NULL AND v.assigned_by IS NULL AND ($1::bigint IS NULL OR t.id < $1)
ORDER BY t.id DESC
LIMIT $2
