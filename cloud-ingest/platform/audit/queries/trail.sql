-- What was done to a subject (NULL: to anything), the newest first, before a number.
SELECT seq, at, actor, action, subject, before, after, request_id FROM audit.entry
WHERE ($1::text IS NULL OR subject = $1) AND ($2::bigint IS NULL OR seq < $2) AND tenant = $3
ORDER BY seq DESC LIMIT $4
