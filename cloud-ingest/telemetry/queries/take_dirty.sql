-- Marks that others are taking are theirs.
DELETE FROM telemetry.dirty
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM telemetry.dirty WHERE level = $1 AND due <= $2 ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED))
RETURNING asset_id, source, bucket
