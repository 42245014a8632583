DELETE FROM jobs.worker WHERE id = $1
