SELECT EXISTS (SELECT FROM audit.entry WHERE tenant = $1 AND subject = $2 AND after ->> 'proof' = $3)
