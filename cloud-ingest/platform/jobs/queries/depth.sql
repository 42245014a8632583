-- What waits and what runs, for the metrics. Counts to 100,000 and no further.
SELECT (SELECT count(*) FROM (SELECT FROM jobs.job WHERE worker IS NULL AND run_at <= $1 LIMIT 100000) AS w) AS waiting,
       (SELECT count(*) FROM jobs.job WHERE worker IS NOT NULL) AS running,
       (SELECT count(*) FROM jobs.dead) AS dead
