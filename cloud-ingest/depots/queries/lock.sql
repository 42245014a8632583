-- The transaction's own organisation: row-level security leaves no other.
SELECT version, etag FROM depots.depot WHERE id = $1 FOR UPDATE
