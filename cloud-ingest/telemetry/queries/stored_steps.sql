-- How often values of these assets, sources and instants are stored. The instants are between two, so that few partitions are read.
SELECT s.time, s.asset_id, s.source, s.signal_id, s.steps, count(*) AS copies
FROM (SELECT DISTINCT u.time, u.asset_id, u.source
      FROM unnest($1::timestamptz[], $2::int[], $3::smallint[]) AS u (time, asset_id, source)) AS k
JOIN telemetry.sample_step AS s ON s.time = k.time AND s.asset_id = k.asset_id AND s.source = k.source
WHERE s.time >= $4 AND s.time <= $5 AND s.asset_id = ANY ($2)
GROUP BY s.time, s.asset_id, s.source, s.signal_id, s.steps
