-- Who may read: the system all of it, each organisation what its own assets measured. Hypertables carry no row-level
-- security (it does not go with chunks and compression), so samples are granted to the system alone, and organisations
-- read through views.

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA telemetry TO patio_system;
REVOKE ALL ON telemetry.migration FROM patio_system;

CALL platform.share('telemetry.source');
CALL platform.share('telemetry.signal');

-- What is small and not written by COPY is protected itself: the application reads it as it is.
CREATE PROCEDURE telemetry.protect(target regclass, condition text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY organization ON %s FOR SELECT TO patio_app, patio_reader USING (%s)', target, condition);
    EXECUTE format('CREATE POLICY system ON %s TO patio_system USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT ON %s TO patio_app, patio_reader', target);
END
$$;
COMMENT ON PROCEDURE telemetry.protect IS 'Row-level security for a table whose rows belong to an organisation by way of an asset or a gateway.';
REVOKE EXECUTE ON PROCEDURE telemetry.protect FROM PUBLIC;

CALL telemetry.protect('telemetry.latest', 'asset_id IN (SELECT platform.own_assets())');
CALL telemetry.protect('telemetry.extra_latest', 'asset_id IN (SELECT platform.own_assets())');
CALL telemetry.protect('telemetry.extra_signal', 'asset_id IN (SELECT platform.own_assets())');
CALL telemetry.protect('telemetry.epoch', 'gateway_id IN (SELECT id FROM platform.gateway)');
CALL telemetry.protect('telemetry.ledger', 'epoch_id IN (SELECT id FROM telemetry.epoch)');
CALL platform.expose('telemetry.extra_reading', 'telemetry.own_extra_reading', 's.asset_id IN (SELECT platform.own_assets())');

-- telemetry.reading is made at start-up, with the catalogue's columns; so is its view for organisations.
DO $$
BEGIN
    IF to_regclass('telemetry.reading') IS NOT NULL THEN
        CALL platform.expose('telemetry.reading', 'telemetry.own_reading', 's.asset_id IN (SELECT platform.own_assets())');
    END IF;
END
$$;
