-- Who may read: the system all of it, each organisation what its own assets measured. Hypertables carry no row-level
-- security (it does not go with chunks and compression), so samples are granted to the system alone, and organisations
-- read through views.

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA telemetry TO patio_system;
REVOKE ALL ON telemetry.migration FROM patio_system;

CALL platform.share('telemetry.source');
CALL platform.share('telemetry.signal');
CALL platform.expose('telemetry.latest', 'telemetry.own_latest', 's.asset_id IN (SELECT platform.own_assets())');
CALL platform.expose('telemetry.extra_reading', 'telemetry.own_extra_reading', 's.asset_id IN (SELECT platform.own_assets())');

-- telemetry.reading is made at start-up, with the catalogue's columns; so is its view for organisations.
DO $$
BEGIN
    IF to_regclass('telemetry.reading') IS NOT NULL THEN
        CALL platform.expose('telemetry.reading', 'telemetry.own_reading', 's.asset_id IN (SELECT platform.own_assets())');
    END IF;
END
$$;
