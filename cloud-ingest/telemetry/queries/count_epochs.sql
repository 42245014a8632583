SELECT gateway_id, count(*) AS epochs
FROM telemetry.epoch
WHERE gateway_id = ANY ($1::int[])
GROUP BY gateway_id
