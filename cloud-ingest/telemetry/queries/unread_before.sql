-- Whether buckets before an instant are still to be read.
SELECT EXISTS (SELECT FROM telemetry.dirty WHERE level = $1 AND bucket < $2) AS unread
