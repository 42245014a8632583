-- How far a standby is behind, in seconds: nothing when it has replayed all that it was sent, and is still being sent it. NULL: it
-- cannot say, as one that was cut off before it replayed anything.
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN 0
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::double precision
END::double precision
