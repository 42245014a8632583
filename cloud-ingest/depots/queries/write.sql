INSERT INTO depots.version (organization_id, depot_id, version, text, files, digest, written_at, written_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
