SELECT b.epoch_id, b.stream, b.seq, b.digest, b.fate, q.reason, q.detail
FROM telemetry.block_digest AS b
JOIN unnest($1::bigint[], $2::smallint[], $3::bigint[]) AS u (epoch_id, stream, seq) USING (epoch_id, stream, seq)
LEFT JOIN telemetry.quarantine AS q ON b.fate = 1 AND q.digest = b.digest
