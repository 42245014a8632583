-- States: when they changed. And of several sources of one signal the one that counts.

CREATE TABLE telemetry.state_signal (
    column_name text PRIMARY KEY,
    event text NOT NULL
);
COMMENT ON TABLE telemetry.state_signal IS 'Signals of the catalogue whose changes are kept in telemetry.state_change, from when they stand here.';
COMMENT ON COLUMN telemetry.state_signal.column_name IS 'The signal''s column.';
COMMENT ON COLUMN telemetry.state_signal.event IS 'What begins when it leaves 0 and ends when it comes back.';
INSERT INTO telemetry.state_signal VALUES ('is_cable_connected', 'plugged'), ('is_charging', 'charging'),
    ('charger_status', 'charger status'), ('charger_error', 'alarm');
CALL platform.share('telemetry.state_signal');

CREATE TABLE telemetry.state_change (
    asset_id int NOT NULL REFERENCES platform.asset,
    signal_id int NOT NULL,
    source smallint NOT NULL,
    time timestamptz NOT NULL,
    before bigint,
    steps bigint NOT NULL
);
CREATE INDEX state_change_asset ON telemetry.state_change (asset_id, signal_id, source, time);
CREATE INDEX state_change_time ON telemetry.state_change (signal_id, time);
COMMENT ON TABLE telemetry.state_change IS 'Samples of states that differ from the sample before, by time, whatever the order in which they came.';
COMMENT ON COLUMN telemetry.state_change.asset_id IS 'Whose state.';
COMMENT ON COLUMN telemetry.state_change.signal_id IS 'The signal.';
COMMENT ON COLUMN telemetry.state_change.source IS 'The way it was read.';
COMMENT ON COLUMN telemetry.state_change.time IS 'When it was first seen so.';
COMMENT ON COLUMN telemetry.state_change.before IS 'What it was before, in steps of its resolution; NULL: nothing is known before.';
COMMENT ON COLUMN telemetry.state_change.steps IS 'What it is since.';
-- Written by COPY, which row-level security forbids.
CALL platform.expose('telemetry.state_change', 'telemetry.own_state_change', 's.asset_id IN (SELECT platform.own_assets())');

CREATE VIEW telemetry.event AS
SELECT c.asset_id, c.source, c.time, e.event, c.steps <> 0 AS active, c.steps,
       lead(c.time) OVER (PARTITION BY c.asset_id, c.signal_id, c.source ORDER BY c.time, c.steps) AS until
FROM telemetry.state_change AS c
JOIN telemetry.signal AS s ON s.id = c.signal_id
JOIN telemetry.state_signal AS e ON e.column_name = s.column_name;
COMMENT ON VIEW telemetry.event IS 'What began and ended: plugged, charging, alarm.';
COMMENT ON COLUMN telemetry.event.asset_id IS 'With what.';
COMMENT ON COLUMN telemetry.event.source IS 'The way it was read.';
COMMENT ON COLUMN telemetry.event.time IS 'When.';
COMMENT ON COLUMN telemetry.event.event IS 'What.';
COMMENT ON COLUMN telemetry.event.active IS 'Whether it began; else it ended.';
COMMENT ON COLUMN telemetry.event.steps IS 'The state''s number.';
COMMENT ON COLUMN telemetry.event.until IS 'When the state changed again; NULL: it has not.';
CALL platform.expose('telemetry.event', 'telemetry.own_event', 's.asset_id IN (SELECT platform.own_assets())');

INSERT INTO telemetry.retention VALUES ('state_change', NULL, NULL);

-- Precedence ---------------------------------------------------------------------------------------------------

CREATE TABLE telemetry.precedence (
    source smallint NOT NULL,
    column_name text,
    rank int NOT NULL,
    UNIQUE NULLS NOT DISTINCT (source, column_name)
);
COMMENT ON TABLE telemetry.precedence IS 'Which source of a signal counts when several read it: the least rank among those that are about as fresh as the freshest.';
COMMENT ON COLUMN telemetry.precedence.source IS 'The source, of telemetry.source.';
COMMENT ON COLUMN telemetry.precedence.column_name IS 'Only for the signal with this column; NULL: for all that have no row of their own.';
COMMENT ON COLUMN telemetry.precedence.rank IS 'Its rank; less is better. A source without a row has 1000.';
-- can, modbus, gateway; ocpp, obd; then devices that others made: teltonika, geotab, json.
INSERT INTO telemetry.precedence VALUES (1, NULL, 10), (3, NULL, 10), (5, NULL, 10), (4, NULL, 20), (2, NULL, 30),
    (6, NULL, 40), (7, NULL, 50), (8, NULL, 60);
CALL platform.share('telemetry.precedence');

CREATE VIEW telemetry.latest_value AS
SELECT v.asset_id, v.signal_id, v.source, v.time, v.steps, v.value,
       row_number() OVER (PARTITION BY v.asset_id, v.signal_id
           ORDER BY v.time < v.newest - interval '10 minutes', v.rank, v.time DESC, v.source) = 1 AS preferred
FROM (
    SELECT l.asset_id, u.signal AS signal_id, l.source, u.time, u.steps,
           (u.steps::numeric * s.resolution)::double precision AS value,
           coalesce(own.rank, usual.rank, 1000) AS rank,
           max(u.time) OVER (PARTITION BY l.asset_id, u.signal) AS newest
    FROM telemetry.latest AS l
    CROSS JOIN LATERAL unnest(l.signals, l.times, l.steps) AS u (signal, time, steps)
    JOIN telemetry.signal AS s ON s.id = u.signal
    LEFT JOIN telemetry.precedence AS own ON own.source = l.source AND own.column_name = s.column_name
    LEFT JOIN telemetry.precedence AS usual ON usual.source = l.source AND usual.column_name IS NULL
) AS v;
COMMENT ON VIEW telemetry.latest_value IS 'The latest value of each signal by each source, and which of them counts.';
COMMENT ON COLUMN telemetry.latest_value.asset_id IS 'Whose signal.';
COMMENT ON COLUMN telemetry.latest_value.signal_id IS 'The signal.';
COMMENT ON COLUMN telemetry.latest_value.source IS 'The way it was read.';
COMMENT ON COLUMN telemetry.latest_value.time IS 'When.';
COMMENT ON COLUMN telemetry.latest_value.steps IS 'What, in steps of its resolution.';
COMMENT ON COLUMN telemetry.latest_value.value IS 'What, in its unit.';
COMMENT ON COLUMN telemetry.latest_value.preferred IS 'Whether it is the one that counts, by telemetry.precedence. A source that is ten minutes behind another does not.';
CALL platform.expose('telemetry.latest_value', 'telemetry.own_latest_value', 's.asset_id IN (SELECT platform.own_assets())');
