-- Roll-ups of samples: 1 minute, a quarter of an hour, 1 day (UTC). All numbers are integers in steps of the signal's
-- resolution, so that they are exact.
--
-- The transaction that writes rows also says which minutes they are in (telemetry.dirty). Whoever takes such marks
-- reads the minutes again, in a statement that begins after the marks were taken and so sees every row whose mark is
-- among them. Rows are never changed, so that of two readings of a bucket the one that counts more samples is the
-- newer one: an older never replaces it, in whatever order workers come.

CREATE TABLE telemetry.dirty (
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 2),
    source smallint NOT NULL,
    asset_id int NOT NULL,
    bucket timestamptz NOT NULL,
    due timestamptz NOT NULL
);
CREATE INDEX dirty_due ON telemetry.dirty (level, due);
COMMENT ON TABLE telemetry.dirty IS 'Buckets whose roll-up is out of date; a bucket may be marked any number of times.';
COMMENT ON COLUMN telemetry.dirty.level IS '0 minute, 1 quarter of an hour, 2 day.';
COMMENT ON COLUMN telemetry.dirty.source IS 'The way the samples were read.';
COMMENT ON COLUMN telemetry.dirty.asset_id IS 'Whose samples.';
COMMENT ON COLUMN telemetry.dirty.bucket IS 'Begin of the bucket.';
COMMENT ON COLUMN telemetry.dirty.due IS 'When it is worth the while: a bucket that is not over yet would be out of date at once.';

-- In the time zone UTC, whatever a session's is.
CREATE FUNCTION telemetry.bucket(level smallint, at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin(CASE level WHEN 0 THEN interval '1 minute' WHEN 1 THEN interval '15 minutes' ELSE interval '24 hours' END,
        at, timestamptz '2000-01-01 00:00:00+00')
$$;
COMMENT ON FUNCTION telemetry.bucket IS 'Begin of the bucket of a level in which an instant lies.';

-- On TimescaleDB minutes and quarters are hypertables, else natively partitioned by day and by month.
DO $$
DECLARE
    timescale constant boolean := (SELECT relkind = 'r' FROM pg_class WHERE oid = 'telemetry.sample'::regclass);
    level record;
    col record;
BEGIN
    FOR level IN SELECT * FROM (VALUES
        ('minute', 'Roll-ups of 1 minute, from samples.', interval '1 day'),
        ('quarter', 'Roll-ups of a quarter of an hour, from those of 1 minute.', interval '30 days'),
        ('day', 'Roll-ups of 1 day (UTC), from those of a quarter of an hour.', NULL)) AS v (name, about, chunk)
    LOOP
        EXECUTE format('CREATE TABLE telemetry.rollup_%s (
            bucket timestamptz NOT NULL, asset_id int NOT NULL, signal_id int NOT NULL, source smallint NOT NULL,
            count int NOT NULL CHECK (count > 0), least bigint NOT NULL, greatest bigint NOT NULL,
            first bigint NOT NULL, last bigint NOT NULL, sum numeric NOT NULL,
            PRIMARY KEY (asset_id, signal_id, source, bucket)) %s', level.name,
            CASE WHEN timescale OR level.chunk IS NULL THEN '' ELSE 'PARTITION BY RANGE (bucket)' END);
        IF level.chunk IS NOT NULL AND timescale THEN
            PERFORM create_hypertable(format('telemetry.rollup_%s', level.name)::regclass, 'bucket',
                chunk_time_interval => level.chunk, create_default_indexes => false);
        ELSIF level.chunk IS NOT NULL THEN
            EXECUTE format('CREATE TABLE telemetry.rollup_%s_rest PARTITION OF telemetry.rollup_%s DEFAULT', level.name, level.name);
        END IF;
        EXECUTE format('COMMENT ON TABLE telemetry.rollup_%s IS %L', level.name, level.about);
        FOR col IN SELECT * FROM (VALUES
            ('bucket', 'Begin of the bucket.'),
            ('asset_id', 'Whose signal.'),
            ('signal_id', 'The signal, of telemetry.signal.'),
            ('source', 'The way it was read.'),
            ('count', 'How many samples.'),
            ('least', 'The least, in steps of the resolution.'),
            ('greatest', 'The greatest.'),
            ('first', 'The first; of several at one instant the least.'),
            ('last', 'The last; of several at one instant the greatest.'),
            ('sum', 'The sum.')) AS v (name, about)
        LOOP
            EXECUTE format('COMMENT ON COLUMN telemetry.rollup_%s.%I IS %L', level.name, col.name, col.about);
        END LOOP;
    END LOOP;
END
$$;

-- Partitions of any table, by day or by month.
CREATE FUNCTION telemetry.add_partition(parent text, per text, day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    low constant timestamp := date_trunc(per, day::timestamp);
    high constant timestamp := low + ('1 ' || per)::interval;
    child constant text := parent || to_char(low, CASE per WHEN 'month' THEN '_YYYYMM' ELSE '_YYYYMMDD' END);
    clock text;
BEGIN
    IF to_regclass(format('telemetry.%I', child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    SELECT attname INTO STRICT clock FROM pg_partitioned_table AS p
    JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = format('telemetry.%I', parent)::regclass;
    EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.%I INCLUDING ALL EXCLUDING INDEXES)', child, parent);
    EXECUTE format('LOCK TABLE telemetry.%I IN ACCESS EXCLUSIVE MODE', parent || '_rest');
    EXECUTE format('WITH moved AS (DELETE FROM telemetry.%I WHERE %I >= %L AND %I < %L RETURNING *)
        INSERT INTO telemetry.%I SELECT * FROM moved', parent || '_rest', clock, low || '+00', clock, high || '+00', child);
    EXECUTE format('ALTER TABLE telemetry.%I ATTACH PARTITION telemetry.%I FOR VALUES FROM (%L) TO (%L)',
        parent, child, low || '+00', high || '+00');
    RETURN true;
END
$$;
COMMENT ON FUNCTION telemetry.add_partition IS 'Gives a day or month (UTC) of a natively partitioned table its own partition; its rows move there from the default partition. False: it has one.';
DROP FUNCTION telemetry.add_day;

-- Organisations read those of their own assets.
CALL platform.expose('telemetry.rollup_minute', 'telemetry.own_rollup_minute', 's.asset_id IN (SELECT platform.own_assets())');
CALL platform.expose('telemetry.rollup_quarter', 'telemetry.own_rollup_quarter', 's.asset_id IN (SELECT platform.own_assets())');
CALL platform.expose('telemetry.rollup_day', 'telemetry.own_rollup_day', 's.asset_id IN (SELECT platform.own_assets())');

-- Energy: what a register has grown by since the bucket before, so that what is missing between two readings is in the
-- bucket of the second. A register that went back was replaced or reset, and begins again.
CREATE TABLE telemetry.energy_register (
    column_name text PRIMARY KEY
);
COMMENT ON TABLE telemetry.energy_register IS 'Signals of the catalogue that only grow, and whose growth is energy.';
COMMENT ON COLUMN telemetry.energy_register.column_name IS 'The signal''s column.';
INSERT INTO telemetry.energy_register VALUES ('energy_charged'), ('energy_consumed'), ('charger_energy_import'),
    ('meter_energy_import'), ('meter_energy_export');

CREATE VIEW telemetry.energy_quarter AS
SELECT g.bucket, g.asset_id, g.signal_id, g.source,
       (CASE WHEN g.last >= g.from_step THEN g.last - g.from_step ELSE g.last - least(g.first, g.last) END)::numeric
           * s.resolution * CASE s.unit WHEN 'kWh' THEN 1000 ELSE 1 END AS wh
FROM (
    SELECT r.bucket, r.asset_id, r.signal_id, r.source, r.first, r.last,
           coalesce(lag(r.last) OVER (PARTITION BY r.asset_id, r.signal_id, r.source ORDER BY r.bucket), r.first) AS from_step
    FROM telemetry.rollup_quarter AS r
) AS g
JOIN telemetry.signal AS s ON s.id = g.signal_id
JOIN telemetry.energy_register AS e ON e.column_name = s.column_name;
COMMENT ON VIEW telemetry.energy_quarter IS 'Energy by quarters of an hour, from registers.';
COMMENT ON COLUMN telemetry.energy_quarter.bucket IS 'Begin of the quarter.';
COMMENT ON COLUMN telemetry.energy_quarter.asset_id IS 'Whose register.';
COMMENT ON COLUMN telemetry.energy_quarter.signal_id IS 'The register.';
COMMENT ON COLUMN telemetry.energy_quarter.source IS 'The way it was read.';
COMMENT ON COLUMN telemetry.energy_quarter.wh IS 'Watt-hours that it has grown by since the quarter before that has samples.';
CALL platform.expose('telemetry.energy_quarter', 'telemetry.own_energy_quarter', 's.asset_id IN (SELECT platform.own_assets())');
