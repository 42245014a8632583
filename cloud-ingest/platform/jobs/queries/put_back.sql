-- An attempt has failed: the job waits until $4.
UPDATE jobs.job SET worker = NULL, again = false, run_at = $4, last_error = $5
WHERE id = $1 AND worker = $2 AND attempt = $3
