-- Who adds a file with this content, and who removes the content, do it one after the other.
SELECT pg_advisory_xact_lock($1, $2)
