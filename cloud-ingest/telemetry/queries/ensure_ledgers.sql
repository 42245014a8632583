INSERT INTO telemetry.ledger (epoch_id, stream)
SELECT epoch_id, stream FROM unnest($1::bigint[], $2::smallint[]) AS u (epoch_id, stream)
ORDER BY epoch_id, stream
ON CONFLICT DO NOTHING
