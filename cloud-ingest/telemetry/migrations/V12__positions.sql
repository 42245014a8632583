-- Positions are read through platform.position_shown. The rows of latest values have them in arrays, so dashboards read
-- telemetry.own_latest_value instead. telemetry.reading is made at start-up, with the same rule.

REVOKE SELECT ON telemetry.latest, telemetry.extra_latest FROM patio_reader;

CREATE OR REPLACE VIEW telemetry.latest_value AS
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
    WHERE NOT platform.is_position(s.name) OR platform.position_shown(l.asset_id, u.time)
) AS v;

CALL platform.expose('telemetry.extra_reading', 'telemetry.own_extra_reading',
    's.asset_id IN (SELECT platform.own_assets()) AND (NOT platform.is_position(s.name) OR platform.position_shown(s.asset_id, s.time))');

-- A mean over times of which some are hidden tells of those, too.
DO $$
DECLARE
    level text;
BEGIN
    FOREACH level IN ARRAY ARRAY['minute', 'quarter', 'day'] LOOP
        CALL platform.expose(format('telemetry.rollup_%s', level)::regclass, format('telemetry.own_rollup_%s', level),
            's.asset_id IN (SELECT platform.own_assets()) AND NOT (
                 s.signal_id IN (SELECT t.id FROM telemetry.signal AS t WHERE platform.is_position(t.name))
                 AND s.asset_id IN (SELECT p.asset_id FROM platform.position_rule AS p))');
    END LOOP;
END
$$;
