-- What the organisation assumes whose gateway this is.
SELECT a.energy_wh, a.leaves_after_s
FROM charging.assumption AS a
JOIN platform.gateway AS g ON g.organization_id = a.organization_id
WHERE g.name = $1
