-- Whether the worker still has the job; until the transaction ends nobody takes it away.
SELECT FROM jobs.job WHERE id = $1 AND worker = $2 AND attempt = $3 FOR UPDATE
