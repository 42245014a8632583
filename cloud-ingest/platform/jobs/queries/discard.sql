DELETE FROM jobs.dead WHERE id = $1
