INSERT INTO geotab.feed (organization_id, account_id, entity)
SELECT $1, $2, entity FROM unnest($3::text[]) AS u (entity)
ON CONFLICT DO NOTHING
