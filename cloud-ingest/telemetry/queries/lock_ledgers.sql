-- Everybody locks in the order of the key: nobody waits for somebody who waits for them.
SELECT l.epoch_id, l.stream, l.done::text AS done
FROM telemetry.ledger AS l
WHERE (l.epoch_id, l.stream) IN (SELECT * FROM unnest($1::bigint[], $2::smallint[]))
ORDER BY l.epoch_id, l.stream
FOR UPDATE
