-- What was quarantined can be readmitted after a fix.

ALTER TABLE telemetry.quarantine ADD COLUMN readmitted_at timestamptz;
COMMENT ON COLUMN telemetry.quarantine.readmitted_at IS 'When it was taken out of the quarantine and stored after all; NULL: it was not.';
