-- What has no meaning any more: attempts of yesterday, and sessions that ended or expired a month ago. A used refresh
-- token stays as long as its session, or its second use would not be seen.
WITH forgotten AS (
    DELETE FROM access.attempt WHERE last_at < $1::timestamptz - interval '1 day' AND (locked_until IS NULL OR locked_until < $1)
), never_came_back AS (
    DELETE FROM access.oidc_attempt WHERE expires_at < $1
), stale AS (
    DELETE FROM access.token WHERE sort <> 'refresh' AND expires_at < $1
)
DELETE FROM access.session WHERE expires_at < $1::timestamptz - interval '30 days' OR ended_at < $1::timestamptz - interval '30 days'
