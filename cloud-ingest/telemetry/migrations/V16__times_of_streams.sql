-- When what a stream brought was measured: that bounds the boots of the same gateway that never knew the time.
ALTER TABLE telemetry.ledger ADD COLUMN earliest timestamptz, ADD COLUMN latest timestamptz;
COMMENT ON COLUMN telemetry.ledger.earliest IS 'The least time of a sample or record that came with its time; NULL: none has.';
COMMENT ON COLUMN telemetry.ledger.latest IS 'The greatest of these times.';
