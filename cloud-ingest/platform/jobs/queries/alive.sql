UPDATE jobs.worker SET alive_until = $2 WHERE id = $1
