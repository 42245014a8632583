SELECT d.id, d.name, v.version, d.etag, v.written_at, v.written_by
FROM depots.depot AS d
JOIN depots.version AS v ON v.organization_id = d.organization_id AND v.depot_id = d.id AND v.version = d.version
WHERE $1::text IS NULL OR d.id > $1 ORDER BY d.id LIMIT $2
