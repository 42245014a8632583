UPDATE privacy.request SET state = 'refused', ended_at = $4, because = $3, also = '{}', receipt = NULL
WHERE organization_id = $1 AND id = $2 AND state = 'open'
