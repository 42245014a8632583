-- Boots whose blocks wait for the time, with what their neighbours say of it. What earlier epochs of the gateway brought was
-- measured before, what later ones brought after; what arrived was measured before that.
SELECT g.name AS gateway, u.boot, u.blocks, u.samples, u.first_received_at, u.last_received_at, n.after,
       least(n.before, u.last_received_at) AS before
FROM (
    SELECT p.gateway_id, p.boot, count(*) AS blocks, sum(p.samples)::bigint AS samples,
           min(p.received_at) AS first_received_at, max(p.received_at) AS last_received_at,
           min(e.counter) AS first_counter, max(e.counter) AS last_counter
    FROM telemetry.unplaced AS p
    JOIN telemetry.epoch AS e ON e.id = p.epoch_id
    GROUP BY p.gateway_id, p.boot
) AS u
JOIN platform.gateway AS g ON g.id = u.gateway_id
CROSS JOIN LATERAL (
    SELECT max(l.latest) FILTER (WHERE e.counter < u.first_counter) AS after,
           min(l.earliest) FILTER (WHERE e.counter > u.last_counter) AS before
    FROM telemetry.epoch AS e
    JOIN telemetry.ledger AS l ON l.epoch_id = e.id
    WHERE e.gateway_id = u.gateway_id
) AS n
ORDER BY g.name, u.first_received_at, u.boot
