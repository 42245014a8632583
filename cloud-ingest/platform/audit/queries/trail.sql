-- What was done to a subject, by somebody, in a request (NULL: whichever), the newest first, before a number.
SELECT seq, at, actor, action, subject, before, after, request_id FROM audit.entry
WHERE ($1::text IS NULL OR subject = $1) AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR request_id = $3)
  AND ($4::bigint IS NULL OR seq < $4) AND tenant = $5
ORDER BY seq DESC LIMIT $6
