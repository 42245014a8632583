UPDATE telemetry.block_digest AS b
SET digest = u.digest, fate = u.fate, received_at = $6
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bytea[], $5::smallint[]) AS u (epoch_id, stream, seq, digest, fate)
WHERE b.epoch_id = u.epoch_id AND b.stream = u.stream AND b.seq = u.seq
