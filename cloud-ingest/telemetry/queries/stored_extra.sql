-- The same of signals outside the catalogue; floats by their bits.
SELECT e.time, e.signal_id, e.raw, float8send(e.value) AS bits, count(*) AS copies
FROM (SELECT DISTINCT u.time, u.signal_id FROM unnest($1::timestamptz[], $2::int[]) AS u (time, signal_id)) AS k
JOIN telemetry.extra AS e ON e.time = k.time AND e.signal_id = k.signal_id
WHERE e.time >= $3 AND e.time <= $4 AND e.signal_id = ANY ($2)
GROUP BY e.time, e.signal_id, e.raw, float8send(e.value)
