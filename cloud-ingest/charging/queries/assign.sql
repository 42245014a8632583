-- Only of a transaction and a vehicle that the caller may see.
INSERT INTO charging.vehicle (transaction_id, organization_id, asset_id, confidence, certain, evidence, assigned_by, decided_at)
SELECT t.id, (SELECT platform.current_organization()), $2::int, 1, true, '{}'::text[], $3::text, $4::timestamptz
FROM telemetry.own_charging_transaction AS t
WHERE t.id = $1 AND ($2::int IS NULL OR $2 IN (SELECT platform.own_assets()))
ON CONFLICT (transaction_id) DO UPDATE SET
    asset_id = excluded.asset_id, confidence = 1, certain = true, evidence = '{}', assigned_by = excluded.assigned_by,
    decided_at = excluded.decided_at
