-- How long what is kept: whoever wants measurements to go says so here. It is looked at each hour.

CREATE TABLE telemetry.retention (
    what text PRIMARY KEY,
    keep interval CHECK (keep >= interval '1 day'),
    compress_after interval CHECK (compress_after >= interval '1 day')
);
COMMENT ON TABLE telemetry.retention IS 'How long tables of telemetry keep their rows.';
COMMENT ON COLUMN telemetry.retention.what IS 'The table of schema telemetry.';
COMMENT ON COLUMN telemetry.retention.keep IS 'Rows that are older go, whole days or months at a time where the table is partitioned; NULL: none goes.';
COMMENT ON COLUMN telemetry.retention.compress_after IS 'Older chunks are compressed, where the database can (TimescaleDB Community); NULL: never. Longer than gateways are usually away: late rows go into compressed chunks slowly.';
INSERT INTO telemetry.retention VALUES
    ('sample', NULL, '3 days'),
    ('extra', NULL, '3 days'),
    ('rollup_minute', NULL, '10 days'),
    ('rollup_quarter', NULL, '60 days'),
    ('rollup_day', NULL, NULL),
    ('record', NULL, NULL),
    ('gap', NULL, NULL),
    ('block_digest', '60 days', NULL),
    ('quarantine', '90 days', NULL);

CREATE INDEX block_digest_received ON telemetry.block_digest USING brin (received_at);

-- The partitions of a natively partitioned table that hold nothing newer.
CREATE FUNCTION telemetry.partitions_before(parent text, per text, horizon timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT c.relname::text
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = format('telemetry.%I', parent)::regclass AND c.relname ~ ('^' || parent || '_[0-9]+$')
      AND (to_date(substring(c.relname FROM '[0-9]+$'), CASE per WHEN 'month' THEN 'YYYYMM' ELSE 'YYYYMMDD' END)
          + ('1 ' || per)::interval) AT TIME ZONE 'UTC' <= horizon
    ORDER BY c.relname
$$;
COMMENT ON FUNCTION telemetry.partitions_before IS 'Partitions by day or month (UTC) that end at or before an instant.';
