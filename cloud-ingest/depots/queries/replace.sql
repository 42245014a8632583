UPDATE depots.depot SET name = $2, version = $3, etag = $4 WHERE id = $1
