-- In the order of the key: whoever takes the same ones waits, and nobody waits for somebody who waits for them.
INSERT INTO telemetry.taken (source, origin, key, taken_at)
SELECT $1, $2, key, $4 FROM unnest($3::bytea[]) AS u (key)
ORDER BY key
ON CONFLICT DO NOTHING
RETURNING key
