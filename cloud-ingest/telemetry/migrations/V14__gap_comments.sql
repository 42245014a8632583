-- A gap record closes up to 256 numbers since version 3 of the blocks' format.
COMMENT ON COLUMN telemetry.gap.seq IS 'The first number that the record closes.';
COMMENT ON COLUMN telemetry.gap.samples IS 'How many samples the blocks of its numbers had in all.';
COMMENT ON COLUMN telemetry.gap.thinned IS 'How many samples had been left out of them before.';
