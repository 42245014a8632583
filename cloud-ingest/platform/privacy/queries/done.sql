UPDATE privacy.request SET state = 'done', ended_at = $3, proof = $4, also = '{}', receipt = NULL
WHERE organization_id = $1 AND id = $2
