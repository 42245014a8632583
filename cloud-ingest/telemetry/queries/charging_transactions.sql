-- Each word has all that was known then: the one with the greatest number counts. Only the end tells of the end.
INSERT INTO telemetry.charging_transaction AS t (gateway_id, station, name, asset_id, evse, token, started_at, ended_at, reason,
    register_mwh, energy_mwh, register_resets, beginning_unknown, incomplete, entry, entries, told_at)
SELECT gateway_id, station, name, asset_id, evse, token, started_at, ended_at, reason, register_mwh, energy_mwh, register_resets,
       beginning_unknown, incomplete, entry, entries::int8multirange, told_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[],
        $10::bigint[], $11::bigint[], $12::int[], $13::boolean[], $14::boolean[], $15::bigint[], $16::text[], $17::timestamptz[])
    AS u (gateway_id, station, name, asset_id, evse, token, started_at, ended_at, reason, register_mwh, energy_mwh, register_resets,
          beginning_unknown, incomplete, entry, entries, told_at)
ON CONFLICT (gateway_id, station, name) DO UPDATE SET
    evse = CASE WHEN excluded.entry > t.entry THEN excluded.evse ELSE t.evse END,
    token = CASE WHEN excluded.entry > t.entry THEN excluded.token ELSE t.token END,
    started_at = CASE WHEN excluded.entry > t.entry THEN excluded.started_at ELSE t.started_at END,
    register_mwh = CASE WHEN excluded.entry > t.entry THEN excluded.register_mwh ELSE t.register_mwh END,
    energy_mwh = CASE WHEN excluded.entry > t.entry THEN excluded.energy_mwh ELSE t.energy_mwh END,
    register_resets = CASE WHEN excluded.entry > t.entry THEN excluded.register_resets ELSE t.register_resets END,
    told_at = CASE WHEN excluded.entry > t.entry THEN excluded.told_at ELSE t.told_at END,
    asset_id = coalesce(excluded.asset_id, t.asset_id),
    ended_at = coalesce(excluded.ended_at, t.ended_at),
    reason = coalesce(excluded.reason, t.reason),
    beginning_unknown = excluded.beginning_unknown OR t.beginning_unknown,
    incomplete = excluded.incomplete OR t.incomplete,
    entry = greatest(excluded.entry, t.entry),
    entries = excluded.entries + t.entries
