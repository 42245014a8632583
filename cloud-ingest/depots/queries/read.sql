SELECT d.id, d.name, v.version, v.text, v.files, v.digest, v.written_at, v.written_by
FROM depots.depot AS d JOIN depots.version AS v ON v.organization_id = d.organization_id AND v.depot_id = d.id
WHERE d.id = $1 AND v.version = coalesce($2::int, d.version)
