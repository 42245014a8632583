-- Entries of a chain after a number, letter by letter as they were hashed.
SELECT seq, organization_id, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, action, subject,
       before::text AS before, after::text AS after, request_id, hash
FROM audit.entry WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3
