-- Blocks of gateways, and the samples in them.

COMMENT ON SCHEMA telemetry IS 'Samples, and the ledger of blocks by which each is stored exactly once.';

-- What the catalogue of signals said when its columns were made ------------------------------------------------

CREATE TABLE telemetry.source (
    number smallint PRIMARY KEY,
    name text NOT NULL UNIQUE
);
COMMENT ON TABLE telemetry.source IS 'The ways by which samples come into a depot.';
COMMENT ON COLUMN telemetry.source.number IS 'Its number in samples.';
COMMENT ON COLUMN telemetry.source.name IS 'Its name.';

CREATE TABLE telemetry.signal (
    id int PRIMARY KEY,
    position int GENERATED ALWAYS AS IDENTITY UNIQUE,
    column_name text NOT NULL UNIQUE,
    column_type text NOT NULL CHECK (column_type IN ('smallint', 'integer', 'bigint')),
    name text NOT NULL UNIQUE,
    standard text NOT NULL,
    unit text NOT NULL,
    resolution numeric NOT NULL CHECK (resolution > 0),
    least bigint NOT NULL,
    greatest bigint NOT NULL CHECK (greatest > least),
    class text NOT NULL,
    about text NOT NULL
);
COMMENT ON TABLE telemetry.signal IS 'Signals of the catalogue that have a column in telemetry.sample; written at start-up.';
COMMENT ON COLUMN telemetry.signal.id IS 'Stable number of the signal.';
COMMENT ON COLUMN telemetry.signal.position IS 'Order in which the columns were added.';
COMMENT ON COLUMN telemetry.signal.column_name IS 'Its column in telemetry.sample and telemetry.reading.';
COMMENT ON COLUMN telemetry.signal.column_type IS 'Type of the column: the smallest that holds its range.';
COMMENT ON COLUMN telemetry.signal.name IS 'The standard''s own name.';
COMMENT ON COLUMN telemetry.signal.standard IS 'Whose name it is.';
COMMENT ON COLUMN telemetry.signal.unit IS 'Unit of values; 1: states and counts.';
COMMENT ON COLUMN telemetry.signal.resolution IS 'One step of the stored integer, in the unit; never changes.';
COMMENT ON COLUMN telemetry.signal.least IS 'Least stored integer that can be true.';
COMMENT ON COLUMN telemetry.signal.greatest IS 'Greatest stored integer that can be true.';
COMMENT ON COLUMN telemetry.signal.class IS 'How fast it has to reach the cloud.';
COMMENT ON COLUMN telemetry.signal.about IS 'What it is.';

-- The ledger ---------------------------------------------------------------------------------------------------

CREATE TABLE telemetry.epoch (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id int NOT NULL REFERENCES platform.gateway,
    counter bigint NOT NULL,
    nonce bigint NOT NULL,
    key_id int NOT NULL REFERENCES platform.gateway_key,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (gateway_id, counter, nonce)
);
COMMENT ON TABLE telemetry.epoch IS 'Lives of gateways'' databases; numbers of blocks are unique within one.';
COMMENT ON COLUMN telemetry.epoch.id IS 'Its number here.';
COMMENT ON COLUMN telemetry.epoch.gateway_id IS 'The gateway.';
COMMENT ON COLUMN telemetry.epoch.counter IS 'Grows with every epoch of the gateway.';
COMMENT ON COLUMN telemetry.epoch.nonce IS 'Random 64 bits, as a signed integer.';
COMMENT ON COLUMN telemetry.epoch.key_id IS 'The key that signed its first block; another key''s blocks are not taken.';
COMMENT ON COLUMN telemetry.epoch.first_seen_at IS 'When its first block arrived.';

CREATE TABLE telemetry.ledger (
    epoch_id bigint NOT NULL REFERENCES telemetry.epoch,
    stream smallint NOT NULL CHECK (stream BETWEEN 0 AND 4),
    done int8multirange NOT NULL DEFAULT '{}',
    blocks bigint NOT NULL DEFAULT 0,
    samples bigint NOT NULL DEFAULT 0,
    thinned bigint NOT NULL DEFAULT 0,
    dropped bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    unplaced bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (epoch_id, stream)
) WITH (fillfactor = 50);
COMMENT ON TABLE telemetry.ledger IS 'Which blocks of a stream are closed; changes only in the transaction that writes their rows.';
COMMENT ON COLUMN telemetry.ledger.epoch_id IS 'The epoch.';
COMMENT ON COLUMN telemetry.ledger.stream IS 'The stream: 0 columns, 1 critical, 2 live, 3 bulk, 4 transactions.';
COMMENT ON COLUMN telemetry.ledger.done IS 'Numbers of the closed blocks; at most 256 ranges.';
COMMENT ON COLUMN telemetry.ledger.blocks IS 'How many blocks are closed.';
COMMENT ON COLUMN telemetry.ledger.samples IS 'How many samples, records or column definitions of them are stored.';
COMMENT ON COLUMN telemetry.ledger.thinned IS 'How many samples the gateway left out of them.';
COMMENT ON COLUMN telemetry.ledger.dropped IS 'How many samples the gateway dropped, by its gap records.';
COMMENT ON COLUMN telemetry.ledger.quarantined IS 'How many samples are in blocks that could not be used.';
COMMENT ON COLUMN telemetry.ledger.unplaced IS 'How many samples wait in telemetry.unplaced for the time of their boot.';

CREATE TABLE telemetry.block_digest (
    epoch_id bigint NOT NULL,
    stream smallint NOT NULL,
    seq bigint NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 16),
    fate smallint NOT NULL CHECK (fate BETWEEN 0 AND 2),
    received_at timestamptz NOT NULL,
    PRIMARY KEY (epoch_id, stream, seq)
);
COMMENT ON TABLE telemetry.block_digest IS 'What content a closed number stands for, so that another content is told from a second delivery.';
COMMENT ON COLUMN telemetry.block_digest.epoch_id IS 'The epoch.';
COMMENT ON COLUMN telemetry.block_digest.stream IS 'The stream.';
COMMENT ON COLUMN telemetry.block_digest.seq IS 'The block''s place in the stream.';
COMMENT ON COLUMN telemetry.block_digest.digest IS 'First 16 bytes of the SHA-256 of the block.';
COMMENT ON COLUMN telemetry.block_digest.fate IS '0 stored, 1 quarantined, 2 a gap.';
COMMENT ON COLUMN telemetry.block_digest.received_at IS 'When it was closed.';

-- Columns ------------------------------------------------------------------------------------------------------

CREATE TABLE telemetry.extra_signal (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id int NOT NULL REFERENCES platform.asset,
    source smallint NOT NULL,
    name text NOT NULL,
    unit text NOT NULL,
    encoding smallint NOT NULL CHECK (encoding BETWEEN 0 AND 2),
    scale numeric NOT NULL,
    shift numeric NOT NULL,
    scale_float double precision GENERATED ALWAYS AS (scale::double precision) STORED,
    shift_float double precision GENERATED ALWAYS AS (shift::double precision) STORED,
    UNIQUE (asset_id, source, name, unit, encoding, scale, shift)
);
COMMENT ON TABLE telemetry.extra_signal IS 'Signals that the catalogue does not know, by the name that their definition gives them.';
COMMENT ON COLUMN telemetry.extra_signal.id IS 'Its number in telemetry.extra.';
COMMENT ON COLUMN telemetry.extra_signal.asset_id IS 'Whose signal.';
COMMENT ON COLUMN telemetry.extra_signal.source IS 'The way it was read.';
COMMENT ON COLUMN telemetry.extra_signal.name IS 'Its name, unique within the asset.';
COMMENT ON COLUMN telemetry.extra_signal.unit IS 'Its unit as the definition writes it; may be empty.';
COMMENT ON COLUMN telemetry.extra_signal.encoding IS '0: value = raw × scale + shift; 1: the same, raw read as unsigned; 2: the value itself.';
COMMENT ON COLUMN telemetry.extra_signal.scale IS 'Value of one step of the raw integer.';
COMMENT ON COLUMN telemetry.extra_signal.shift IS 'Value of raw 0.';
COMMENT ON COLUMN telemetry.extra_signal.scale_float IS 'The float nearest to scale.';
COMMENT ON COLUMN telemetry.extra_signal.shift_float IS 'The float nearest to shift.';

CREATE TABLE telemetry.column_def (
    epoch_id bigint NOT NULL REFERENCES telemetry.epoch,
    number int NOT NULL CHECK (number >= 0),
    asset_id int NOT NULL REFERENCES platform.asset,
    local_key text NOT NULL,
    source smallint NOT NULL,
    signal_id int,
    extra_signal_id int REFERENCES telemetry.extra_signal,
    name text,
    unit text,
    encoding smallint NOT NULL CHECK (encoding BETWEEN 0 AND 2),
    scale_mantissa bigint NOT NULL,
    scale_exponent smallint NOT NULL,
    shift_mantissa bigint NOT NULL,
    shift_exponent smallint NOT NULL,
    PRIMARY KEY (epoch_id, number),
    CHECK (num_nonnulls(signal_id, extra_signal_id) = 1),
    CHECK (num_nulls(name, unit, extra_signal_id) IN (0, 3))
);
COMMENT ON TABLE telemetry.column_def IS 'Columns of an epoch''s samples, as the gateway defined them; never changed.';
COMMENT ON COLUMN telemetry.column_def.epoch_id IS 'The epoch.';
COMMENT ON COLUMN telemetry.column_def.number IS 'The column''s number in it.';
COMMENT ON COLUMN telemetry.column_def.asset_id IS 'Whose signal.';
COMMENT ON COLUMN telemetry.column_def.local_key IS 'The gateway''s key of the asset.';
COMMENT ON COLUMN telemetry.column_def.source IS 'The way it is read.';
COMMENT ON COLUMN telemetry.column_def.signal_id IS 'The signal of the catalogue; this program may not know it yet.';
COMMENT ON COLUMN telemetry.column_def.extra_signal_id IS 'The signal outside the catalogue.';
COMMENT ON COLUMN telemetry.column_def.name IS 'Name of the signal outside the catalogue.';
COMMENT ON COLUMN telemetry.column_def.unit IS 'Its unit.';
COMMENT ON COLUMN telemetry.column_def.encoding IS '0: value = raw × scale + shift; 1: the same, raw read as unsigned; 2: raw is the bits of an IEEE 754 binary64.';
COMMENT ON COLUMN telemetry.column_def.scale_mantissa IS 'Scale: digits.';
COMMENT ON COLUMN telemetry.column_def.scale_exponent IS 'Scale: power of ten.';
COMMENT ON COLUMN telemetry.column_def.shift_mantissa IS 'Shift: digits.';
COMMENT ON COLUMN telemetry.column_def.shift_exponent IS 'Shift: power of ten.';

-- Samples ------------------------------------------------------------------------------------------------------
-- Wide rows, and narrow ones for signals outside the catalogue. Neither has a unique index: the ledger is what
-- keeps a sample from being stored twice. Hypertables where there is TimescaleDB, else native partitions by day.

DO $$
DECLARE
    timescale constant boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb');
    partitioned constant text := CASE WHEN timescale THEN '' ELSE 'PARTITION BY RANGE (time)' END;
BEGIN
    EXECUTE 'CREATE TABLE telemetry.sample (time timestamptz NOT NULL, asset_id int NOT NULL, source smallint NOT NULL) ' || partitioned;
    EXECUTE 'CREATE TABLE telemetry.extra (time timestamptz NOT NULL, signal_id int NOT NULL, raw bigint, value double precision) ' || partitioned;
    IF timescale THEN
        PERFORM create_hypertable('telemetry.sample', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
        PERFORM create_hypertable('telemetry.extra', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
    ELSE
        CREATE TABLE telemetry.sample_rest PARTITION OF telemetry.sample DEFAULT;
        CREATE TABLE telemetry.extra_rest PARTITION OF telemetry.extra DEFAULT;
    END IF;
END
$$;
CREATE INDEX sample_asset_time ON telemetry.sample (asset_id, time);
CREATE INDEX extra_signal_time ON telemetry.extra (signal_id, time);
COMMENT ON TABLE telemetry.sample IS 'One row per asset, source and instant; a column per signal of the catalogue, in steps of its resolution.';
COMMENT ON COLUMN telemetry.sample.time IS 'When it was measured.';
COMMENT ON COLUMN telemetry.sample.asset_id IS 'Whose signals.';
COMMENT ON COLUMN telemetry.sample.source IS 'The way they were read.';
COMMENT ON TABLE telemetry.extra IS 'Samples of signals outside the catalogue.';
COMMENT ON COLUMN telemetry.extra.time IS 'When it was measured.';
COMMENT ON COLUMN telemetry.extra.signal_id IS 'The signal, of telemetry.extra_signal.';
COMMENT ON COLUMN telemetry.extra.raw IS 'The raw integer as it was read; NULL for encoding 2.';
COMMENT ON COLUMN telemetry.extra.value IS 'The value, for encoding 2.';

CREATE FUNCTION telemetry.extra_value(encoding smallint, raw bigint, value double precision, scale double precision, shift double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE encoding
        WHEN 0 THEN raw::double precision * scale + shift
        WHEN 1 THEN CASE WHEN raw >= 0 THEN raw::double precision ELSE (raw::numeric + 18446744073709551616)::double precision END * scale + shift
        ELSE value
    END
$$;
COMMENT ON FUNCTION telemetry.extra_value IS 'The value of a sample outside the catalogue, computed as the gateway computes it.';

CREATE VIEW telemetry.extra_reading AS
SELECT s.asset_id, s.source, e.time, s.name, s.unit,
       telemetry.extra_value(s.encoding, e.raw, e.value, s.scale_float, s.shift_float) AS value
FROM telemetry.extra AS e
JOIN telemetry.extra_signal AS s ON s.id = e.signal_id;
COMMENT ON VIEW telemetry.extra_reading IS 'Samples of signals outside the catalogue, in their units.';
COMMENT ON COLUMN telemetry.extra_reading.asset_id IS 'Whose signal.';
COMMENT ON COLUMN telemetry.extra_reading.source IS 'The way it was read.';
COMMENT ON COLUMN telemetry.extra_reading.time IS 'When it was measured.';
COMMENT ON COLUMN telemetry.extra_reading.name IS 'The signal''s name.';
COMMENT ON COLUMN telemetry.extra_reading.unit IS 'Its unit.';
COMMENT ON COLUMN telemetry.extra_reading.value IS 'Its value.';

CREATE FUNCTION telemetry.add_day(parent text, day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    child constant text := parent || '_' || to_char(day, 'YYYYMMDD');
    low constant timestamptz := day::timestamp AT TIME ZONE 'UTC';
    high constant timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(format('telemetry.%I', child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE telemetry.%I (LIKE telemetry.%I INCLUDING ALL EXCLUDING INDEXES)', child, parent);
    EXECUTE format('LOCK TABLE telemetry.%I IN ACCESS EXCLUSIVE MODE', parent || '_rest');
    EXECUTE format('WITH moved AS (DELETE FROM telemetry.%I WHERE time >= %L AND time < %L RETURNING *)
        INSERT INTO telemetry.%I SELECT * FROM moved', parent || '_rest', low, high, child);
    EXECUTE format('ALTER TABLE telemetry.%I ATTACH PARTITION telemetry.%I FOR VALUES FROM (%L) TO (%L)',
        parent, child, low, high);
    RETURN true;
END
$$;
COMMENT ON FUNCTION telemetry.add_day IS 'Gives a day (UTC) of a natively partitioned table its own partition; its rows move there from the default partition. False: it has one.';

-- The latest value of everything -------------------------------------------------------------------------------
-- One row per asset and source with parallel arrays: a batch rewrites one row in place (HOT) however many signals
-- changed, and each signal keeps its own time. A column pair per signal would cost the same write and 160 columns;
-- a row per signal twenty writes.

CREATE TABLE telemetry.latest (
    asset_id int NOT NULL REFERENCES platform.asset,
    source smallint NOT NULL,
    time timestamptz,
    signals int[] NOT NULL DEFAULT '{}',
    times timestamptz[] NOT NULL DEFAULT '{}',
    steps bigint[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (asset_id, source),
    CHECK (cardinality(signals) = cardinality(times) AND cardinality(signals) = cardinality(steps))
) WITH (fillfactor = 50);
COMMENT ON TABLE telemetry.latest IS 'The latest value of each signal of the catalogue of an asset, guarded by time.';
COMMENT ON COLUMN telemetry.latest.asset_id IS 'Whose signals.';
COMMENT ON COLUMN telemetry.latest.source IS 'The way they were read.';
COMMENT ON COLUMN telemetry.latest.time IS 'The latest of the times; NULL: nothing has arrived yet.';
COMMENT ON COLUMN telemetry.latest.signals IS 'The signals, of telemetry.signal, ascending.';
COMMENT ON COLUMN telemetry.latest.times IS 'When each was last measured.';
COMMENT ON COLUMN telemetry.latest.steps IS 'What was measured then, in steps of its resolution.';

CREATE TABLE telemetry.extra_latest (
    asset_id int NOT NULL REFERENCES platform.asset,
    source smallint NOT NULL,
    time timestamptz,
    signals int[] NOT NULL DEFAULT '{}',
    times timestamptz[] NOT NULL DEFAULT '{}',
    raws bigint[] NOT NULL DEFAULT '{}',
    "values" double precision[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (asset_id, source),
    CHECK (cardinality(signals) = cardinality(times) AND cardinality(signals) = cardinality(raws)
        AND cardinality(signals) = cardinality("values"))
) WITH (fillfactor = 50);
COMMENT ON TABLE telemetry.extra_latest IS 'The latest value of each signal outside the catalogue, guarded by time.';
COMMENT ON COLUMN telemetry.extra_latest.asset_id IS 'Whose signals.';
COMMENT ON COLUMN telemetry.extra_latest.source IS 'The way they were read.';
COMMENT ON COLUMN telemetry.extra_latest.time IS 'The latest of the times; NULL: nothing has arrived yet.';
COMMENT ON COLUMN telemetry.extra_latest.signals IS 'The signals, of telemetry.extra_signal, ascending.';
COMMENT ON COLUMN telemetry.extra_latest.times IS 'When each was last measured.';
COMMENT ON COLUMN telemetry.extra_latest.raws IS 'The raw integers; an element is NULL for encoding 2.';
COMMENT ON COLUMN telemetry.extra_latest."values" IS 'The values for encoding 2; else NULL.';

-- Everything else ----------------------------------------------------------------------------------------------

CREATE TABLE telemetry.boot (
    gateway_id int NOT NULL REFERENCES platform.gateway,
    boot bigint NOT NULL,
    wall_offset_us bigint,
    PRIMARY KEY (gateway_id, boot)
);
COMMENT ON TABLE telemetry.boot IS 'Boots of gateways of which blocks came without wall time.';
COMMENT ON COLUMN telemetry.boot.gateway_id IS 'The gateway.';
COMMENT ON COLUMN telemetry.boot.boot IS 'Random number of the boot, as a signed integer.';
COMMENT ON COLUMN telemetry.boot.wall_offset_us IS 'What to add to its monotonic times to get microseconds since 1970, by the first block that knew; NULL: not known yet.';

CREATE TABLE telemetry.unplaced (
    epoch_id bigint NOT NULL REFERENCES telemetry.epoch,
    stream smallint NOT NULL,
    seq bigint NOT NULL,
    gateway_id int NOT NULL,
    boot bigint NOT NULL,
    samples int NOT NULL,
    received_at timestamptz NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (epoch_id, stream, seq),
    FOREIGN KEY (gateway_id, boot) REFERENCES telemetry.boot
);
CREATE INDEX unplaced_boot ON telemetry.unplaced (gateway_id, boot);
ALTER TABLE telemetry.unplaced ALTER COLUMN payload SET STORAGE EXTERNAL;
COMMENT ON TABLE telemetry.unplaced IS 'Blocks without wall time, in the ledger already; expanded when a block of the same boot knows the time.';
COMMENT ON COLUMN telemetry.unplaced.epoch_id IS 'The epoch.';
COMMENT ON COLUMN telemetry.unplaced.stream IS 'The stream.';
COMMENT ON COLUMN telemetry.unplaced.seq IS 'The block''s place in the stream.';
COMMENT ON COLUMN telemetry.unplaced.gateway_id IS 'The gateway.';
COMMENT ON COLUMN telemetry.unplaced.boot IS 'The boot whose monotonic clock its times are of.';
COMMENT ON COLUMN telemetry.unplaced.samples IS 'How many samples or records it carries.';
COMMENT ON COLUMN telemetry.unplaced.received_at IS 'When it was taken.';
COMMENT ON COLUMN telemetry.unplaced.payload IS 'The block as it arrived.';

CREATE TABLE telemetry.record (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch_id bigint NOT NULL REFERENCES telemetry.epoch,
    stream smallint NOT NULL,
    seq bigint NOT NULL,
    place int NOT NULL,
    gateway_id int NOT NULL,
    time timestamptz NOT NULL,
    asset_id int REFERENCES platform.asset,
    kind text NOT NULL,
    payload jsonb NOT NULL
);
CREATE INDEX record_kind_time ON telemetry.record (kind, time);
CREATE INDEX record_asset_time ON telemetry.record (asset_id, time);
COMMENT ON TABLE telemetry.record IS 'What happened, as opposed to what was measured.';
COMMENT ON COLUMN telemetry.record.id IS 'Its number.';
COMMENT ON COLUMN telemetry.record.epoch_id IS 'The epoch of its block.';
COMMENT ON COLUMN telemetry.record.stream IS 'The stream of its block.';
COMMENT ON COLUMN telemetry.record.seq IS 'The number of its block.';
COMMENT ON COLUMN telemetry.record.place IS 'Its place in the block.';
COMMENT ON COLUMN telemetry.record.gateway_id IS 'The gateway.';
COMMENT ON COLUMN telemetry.record.time IS 'When it happened.';
COMMENT ON COLUMN telemetry.record.asset_id IS 'What it is about, if anything.';
COMMENT ON COLUMN telemetry.record.kind IS 'What happened: a short name such as command.answer.';
COMMENT ON COLUMN telemetry.record.payload IS 'The rest.';

CREATE TABLE telemetry.gap (
    epoch_id bigint NOT NULL REFERENCES telemetry.epoch,
    stream smallint NOT NULL,
    seq bigint NOT NULL,
    gateway_id int NOT NULL,
    reason text NOT NULL,
    samples bigint NOT NULL,
    thinned bigint NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (epoch_id, stream, seq)
);
COMMENT ON TABLE telemetry.gap IS 'Blocks that gateways dropped: their samples are absent for good.';
COMMENT ON COLUMN telemetry.gap.epoch_id IS 'The epoch.';
COMMENT ON COLUMN telemetry.gap.stream IS 'The stream.';
COMMENT ON COLUMN telemetry.gap.seq IS 'The number that the block had.';
COMMENT ON COLUMN telemetry.gap.gateway_id IS 'The gateway.';
COMMENT ON COLUMN telemetry.gap.reason IS 'Why it was dropped: quota, damaged.';
COMMENT ON COLUMN telemetry.gap.samples IS 'How many samples it had.';
COMMENT ON COLUMN telemetry.gap.thinned IS 'How many samples had been left out of it before.';
COMMENT ON COLUMN telemetry.gap.received_at IS 'When the gateway said so.';

CREATE TABLE telemetry.quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE CHECK (length(digest) = 16),
    gateway text,
    number text,
    closed boolean NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    topic text NOT NULL,
    samples bigint NOT NULL,
    deliveries bigint NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    size int NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX quarantine_gateway ON telemetry.quarantine (gateway, received_at);
ALTER TABLE telemetry.quarantine ALTER COLUMN payload SET STORAGE EXTERNAL;
COMMENT ON TABLE telemetry.quarantine IS 'What could not be used, with the reason and every byte of it.';
COMMENT ON COLUMN telemetry.quarantine.id IS 'Its number.';
COMMENT ON COLUMN telemetry.quarantine.digest IS 'First 16 bytes of the SHA-256 of the payload; the same payload is kept once.';
COMMENT ON COLUMN telemetry.quarantine.gateway IS 'Who sent it: certain where closed, else what topic or header claim.';
COMMENT ON COLUMN telemetry.quarantine.number IS 'The block''s number, where its header could be read.';
COMMENT ON COLUMN telemetry.quarantine.closed IS 'Whether the ledger moved (a block of the gateway''s own key), so that the gateway may free it.';
COMMENT ON COLUMN telemetry.quarantine.reason IS 'Why: one of the reasons of telemetry_quarantined_total.';
COMMENT ON COLUMN telemetry.quarantine.detail IS 'Why, for people.';
COMMENT ON COLUMN telemetry.quarantine.topic IS 'Where it arrived.';
COMMENT ON COLUMN telemetry.quarantine.samples IS 'How many samples its header announces.';
COMMENT ON COLUMN telemetry.quarantine.deliveries IS 'How many times it arrived.';
COMMENT ON COLUMN telemetry.quarantine.received_at IS 'When it first arrived.';
COMMENT ON COLUMN telemetry.quarantine.last_at IS 'When it last arrived.';
COMMENT ON COLUMN telemetry.quarantine.size IS 'Length in bytes.';
COMMENT ON COLUMN telemetry.quarantine.payload IS 'The bytes; cut off after 512 KiB.';
