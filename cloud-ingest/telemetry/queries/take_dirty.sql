-- Marks that others are taking are theirs.
WITH taken AS (
    DELETE FROM telemetry.dirty
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM telemetry.dirty WHERE level = $1 AND due <= $2
        ORDER BY due, asset_id, source, bucket LIMIT $3 FOR UPDATE SKIP LOCKED))
    RETURNING asset_id, source, bucket)
SELECT DISTINCT asset_id, source, bucket FROM taken
