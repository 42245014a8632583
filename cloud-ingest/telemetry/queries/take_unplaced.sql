-- Their ledger rows are locked: nobody else takes them.
DELETE FROM telemetry.unplaced AS p
USING unnest($1::bigint[], $2::smallint[], $3::bigint[]) AS u (epoch_id, stream, seq)
WHERE p.epoch_id = u.epoch_id AND p.stream = u.stream AND p.seq = u.seq
RETURNING p.epoch_id, p.stream, p.seq
