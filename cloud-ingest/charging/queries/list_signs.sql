SELECT kind, value, asset_id FROM charging.sign
WHERE $1::text IS NULL OR kind || ' ' || value > $1
ORDER BY kind || ' ' || value
LIMIT $2
