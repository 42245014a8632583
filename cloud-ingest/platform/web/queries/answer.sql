UPDATE web.answer SET status = $4, body = $5 WHERE organization_id = $1 AND caller = $2 AND key = $3
