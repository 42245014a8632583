-- Waits for those who are taking. Only when there is something to forget.
UPDATE telemetry.forgotten AS f
SET until = $1
WHERE f.until < $1 AND EXISTS (SELECT FROM telemetry.taken AS t WHERE t.taken_at < $1)
