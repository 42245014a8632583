SELECT method = $4 AND path = $5 AND digest = $6 AS same, status, body
FROM web.answer WHERE organization_id = $1 AND caller = $2 AND key = $3
