SELECT e.counter, e.nonce, l.stream, l.done::text AS done
FROM telemetry.epoch AS e
JOIN telemetry.ledger AS l ON l.epoch_id = e.id
WHERE e.gateway_id = $1
  AND (e.counter, e.nonce, l.stream) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::smallint[]))
