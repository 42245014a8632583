DELETE FROM jobs.schedule WHERE organization_id IS NOT DISTINCT FROM $1 AND name = $2
