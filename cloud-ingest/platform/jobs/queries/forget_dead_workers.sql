-- Workers that have not been heard of are dead, as of now ($1).
DELETE FROM jobs.worker WHERE alive_until < $1
