-- Charging transactions, as their stations told them.

CREATE TABLE telemetry.charging_transaction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id int NOT NULL,
    station text NOT NULL,
    name text NOT NULL,
    asset_id int REFERENCES platform.asset,
    evse int,
    token text,
    started_at timestamptz,
    ended_at timestamptz,
    reason text,
    register_mwh bigint,
    energy_mwh bigint NOT NULL,
    register_resets int NOT NULL,
    beginning_unknown boolean NOT NULL,
    incomplete boolean NOT NULL,
    entry bigint NOT NULL,
    entries int8multirange NOT NULL,
    told_at timestamptz NOT NULL,
    UNIQUE (gateway_id, station, name)
);
CREATE INDEX charging_transaction_asset ON telemetry.charging_transaction (asset_id, id);
CREATE INDEX charging_transaction_open ON telemetry.charging_transaction (asset_id) WHERE ended_at IS NULL;
COMMENT ON TABLE telemetry.charging_transaction IS 'Charging transactions, as their stations told them: the latest word on each.';
COMMENT ON COLUMN telemetry.charging_transaction.id IS 'Its number here.';
COMMENT ON COLUMN telemetry.charging_transaction.gateway_id IS 'The gateway that the station talks to.';
COMMENT ON COLUMN telemetry.charging_transaction.station IS 'The station, as it calls itself.';
COMMENT ON COLUMN telemetry.charging_transaction.name IS 'The transaction: the number that the gateway gave (OCPP 1.6) or the station''s own name of it (2.0.1).';
COMMENT ON COLUMN telemetry.charging_transaction.asset_id IS 'The station in the register.';
COMMENT ON COLUMN telemetry.charging_transaction.evse IS 'Its EVSE (2.0.1) or connector (1.6).';
COMMENT ON COLUMN telemetry.charging_transaction.token IS 'Whose token began it.';
COMMENT ON COLUMN telemetry.charging_transaction.started_at IS 'When it began, by the station''s clock; NULL: that was never told.';
COMMENT ON COLUMN telemetry.charging_transaction.ended_at IS 'When it ended, by the station''s clock; NULL: it goes on, or its end was not told.';
COMMENT ON COLUMN telemetry.charging_transaction.reason IS 'Why it ended, in OCPP''s words.';
COMMENT ON COLUMN telemetry.charging_transaction.register_mwh IS 'The station''s energy register as it was told last, in mWh.';
COMMENT ON COLUMN telemetry.charging_transaction.energy_mwh IS 'Energy since its beginning, in mWh.';
COMMENT ON COLUMN telemetry.charging_transaction.register_resets IS 'How often the register went back meanwhile.';
COMMENT ON COLUMN telemetry.charging_transaction.beginning_unknown IS 'Whether its end came and nothing before: the energy before its first value is not known.';
COMMENT ON COLUMN telemetry.charging_transaction.incomplete IS 'Whether the station left out some of what happened (2.0.1: gaps in seqNo).';
COMMENT ON COLUMN telemetry.charging_transaction.entry IS 'The number of the gateway''s entry that is the latest word, from 0.';
COMMENT ON COLUMN telemetry.charging_transaction.entries IS 'The numbers of the entries that are stored.';
COMMENT ON COLUMN telemetry.charging_transaction.told_at IS 'When the latest word was received.';
CALL platform.expose('telemetry.charging_transaction', 'telemetry.own_charging_transaction', 's.asset_id IN (SELECT platform.own_assets())');
INSERT INTO telemetry.retention VALUES ('charging_transaction', NULL, NULL);

-- What was told before this table.
INSERT INTO telemetry.charging_transaction (gateway_id, station, name, asset_id, evse, token, started_at, ended_at, reason, register_mwh,
    energy_mwh, register_resets, beginning_unknown, incomplete, entry, entries, told_at)
SELECT DISTINCT ON (r.gateway_id, p->>'station', p->>'transaction')
       r.gateway_id, p->>'station', p->>'transaction', r.asset_id, (p->>'evse')::int, p->>'token', (p->>'started')::timestamptz,
       CASE r.kind WHEN 'transaction.ended' THEN (p->>'time')::timestamptz END, p->>'reason', (p->>'register_mwh')::bigint,
       (p->>'energy_mwh')::bigint, (p->>'register_resets')::int, coalesce((p->>'beginning_unknown')::boolean, false),
       coalesce((p->>'incomplete')::boolean, false), (p->>'entry')::bigint,
       (SELECT range_agg(int8range((o.payload->>'entry')::bigint, (o.payload->>'entry')::bigint + 1)) FROM telemetry.record AS o
        WHERE o.kind LIKE 'transaction.%' AND o.gateway_id = r.gateway_id AND o.payload->>'station' = p->>'station'
          AND o.payload->>'transaction' = p->>'transaction'),
       r.time
FROM telemetry.record AS r, LATERAL (SELECT r.payload AS p) AS of
WHERE r.kind IN ('transaction.started', 'transaction.updated', 'transaction.ended')
  AND p ?& ARRAY['station', 'transaction', 'entry', 'energy_mwh', 'register_resets']
ORDER BY r.gateway_id, p->>'station', p->>'transaction', (p->>'entry')::bigint DESC;
