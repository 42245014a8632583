-- What became of a delivery; one that was delivered stays so.
UPDATE events.delivery SET state = $2, attempts = attempts + $3, ended_at = $4 WHERE id = $1 AND state = 'waiting'
