-- A worker that stops gives back what it has not begun, or not finished, as if it had never taken it.
UPDATE jobs.job SET worker = NULL, again = false, attempt = attempt - 1 WHERE worker = $1 AND id = ANY ($2)
