-- What is missing below the greatest closed number, and when the first block behind the first gap came. Digests are
-- forgotten after a while: then nobody knows since when.
SELECT g.name AS gateway, e.counter, e.nonce, l.stream, m.first, m.blocks,
       (SELECT min(b.received_at) FROM telemetry.block_digest AS b
        WHERE b.epoch_id = l.epoch_id AND b.stream = l.stream AND b.seq > m.first) AS since
FROM telemetry.ledger AS l
JOIN telemetry.epoch AS e ON e.id = l.epoch_id
JOIN platform.gateway AS g ON g.id = e.gateway_id
CROSS JOIN LATERAL (
    SELECT min(lower(r)) AS first, sum(upper(r) - lower(r))::bigint AS blocks
    FROM unnest(int8multirange(int8range(0, upper(l.done))) - l.done) AS r
) AS m
WHERE l.done <> '{}' AND m.first IS NOT NULL
ORDER BY g.name, e.counter, e.id, l.stream
