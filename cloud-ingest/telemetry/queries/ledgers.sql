SELECT g.name AS gateway, e.counter, e.nonce, l.stream, l.done::text AS done, l.blocks, l.samples, l.thinned, l.dropped,
       l.quarantined, l.unplaced
FROM telemetry.ledger AS l
JOIN telemetry.epoch AS e ON e.id = l.epoch_id
JOIN platform.gateway AS g ON g.id = e.gateway_id
WHERE $1::text[] IS NULL OR g.name = ANY($1)
ORDER BY g.name, e.counter, e.id, l.stream
