-- What was taken long ago is forgotten, so that its table does not grow for ever; and what is that old cannot be told from
-- what was stored before, so that it is not taken any more.

CREATE TABLE telemetry.forgotten (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL
);
COMMENT ON TABLE telemetry.forgotten IS 'Up to when rows of telemetry.taken are gone. One row, which only moves on, and is locked by whoever takes.';
COMMENT ON COLUMN telemetry.forgotten.one IS 'There is one row.';
COMMENT ON COLUMN telemetry.forgotten.until IS 'What was taken before is not known any more: records measured before, or less than a day after it, are refused.';
INSERT INTO telemetry.forgotten (until) VALUES ('1970-01-01 00:00:00Z');
-- UPDATE is what locking the row wants.
GRANT SELECT, UPDATE ON telemetry.forgotten TO patio_system;

UPDATE telemetry.retention SET keep = '60 days' WHERE what = 'taken' AND keep IS NULL;
