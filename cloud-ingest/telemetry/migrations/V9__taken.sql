-- Readings of devices that seal no blocks: what of them was stored, by the name that its device gives it.

CREATE TABLE telemetry.taken (
    source smallint NOT NULL,
    origin text NOT NULL CHECK (length(origin) BETWEEN 1 AND 200),
    key bytea NOT NULL CHECK (length(key) = 16),
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (source, origin, key)
);
CREATE INDEX taken_at ON telemetry.taken USING brin (taken_at);
COMMENT ON TABLE telemetry.taken IS 'Messages, records and files whose readings are stored; a row commits with them, so that each is stored once.';
COMMENT ON COLUMN telemetry.taken.source IS 'The way they came.';
COMMENT ON COLUMN telemetry.taken.origin IS 'Whose they are: a device, a feed, import.';
COMMENT ON COLUMN telemetry.taken.key IS 'First 16 bytes of the SHA-256 of what makes it itself.';
COMMENT ON COLUMN telemetry.taken.taken_at IS 'When it was stored.';
GRANT SELECT, INSERT, UPDATE, DELETE ON telemetry.taken TO patio_system;

-- For ever: a file may come again after years.
INSERT INTO telemetry.retention VALUES ('taken', NULL, NULL);
