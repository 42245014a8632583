-- Marks of one bucket that are due at the same instant are taken together: the bucket is read again once for all of them.
DROP INDEX telemetry.dirty_due;
CREATE INDEX dirty_due ON telemetry.dirty (level, due, asset_id, source, bucket);
