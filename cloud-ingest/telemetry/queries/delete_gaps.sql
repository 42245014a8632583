DELETE FROM telemetry.gap AS g
USING unnest($1::bigint[], $2::smallint[], $3::bigint[]) AS u (epoch_id, stream, seq)
WHERE g.epoch_id = u.epoch_id AND g.stream = u.stream AND g.seq = u.seq
RETURNING g.epoch_id, g.stream, g.samples, g.thinned
