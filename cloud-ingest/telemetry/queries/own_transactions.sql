SELECT t.id, t.asset_id, t.station, t.name, t.evse, t.token, t.started_at, t.ended_at, t.reason, t.register_mwh, t.energy_mwh,
       t.register_resets, t.told_at,
       t.ended_at IS NOT NULL AND NOT t.beginning_unknown AND NOT t.incomplete
           AND t.entries = int8multirange(int8range(0, t.entry + 1)) AS whole
FROM telemetry.own_charging_transaction AS t
WHERE ($1::int IS NULL OR t.asset_id = $1) AND ($2::boolean IS NULL OR (t.ended_at IS NULL) = $2)
  AND ($3::timestamptz IS NULL OR coalesce(t.started_at, t.ended_at, t.told_at) >= $3)
  AND ($4::timestamptz IS NULL OR coalesce(t.started_at, t.ended_at, t.told_at) < $4)
  AND ($5::bigint IS NULL OR t.id < $5)
ORDER BY t.id DESC
LIMIT $6
