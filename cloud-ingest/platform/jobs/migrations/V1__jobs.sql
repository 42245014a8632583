-- Jobs that wait or run, jobs that were given up, schedules, and the workers that are alive.
--
-- A job belongs to an organisation, or (organization_id NULL) to the house itself. `tenant` is the same without NULL,
-- so that one index serves both.

COMMENT ON SCHEMA jobs IS 'Work that is done later: jobs, schedules, workers.';

CREATE TABLE jobs.worker (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    alive_until timestamptz NOT NULL
);
COMMENT ON TABLE jobs.worker IS 'Workers that are alive; what a dead one had taken is taken back.';
COMMENT ON COLUMN jobs.worker.id IS 'Its name, new at every start.';
COMMENT ON COLUMN jobs.worker.started_at IS 'When it started.';
COMMENT ON COLUMN jobs.worker.alive_until IS 'Until when it counts as alive; it moves this while it is.';

CREATE TABLE jobs.job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int REFERENCES platform.organization,
    tenant int NOT NULL GENERATED ALWAYS AS (coalesce(organization_id, 0)) STORED,
    kind text NOT NULL CHECK (kind ~ '^[a-z0-9_]+(\.[a-z0-9_]+)+$'),
    payload jsonb NOT NULL,
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 2),
    run_at timestamptz NOT NULL,
    attempt int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL CHECK (max_attempts > 0),
    dedupe_key text CHECK (length(dedupe_key) BETWEEN 1 AND 200),
    again boolean NOT NULL DEFAULT false,
    request_id text,
    created_at timestamptz NOT NULL,
    worker uuid,
    last_error text
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX job_waiting ON jobs.job (tenant, priority, run_at, id) WHERE worker IS NULL;
CREATE INDEX job_running ON jobs.job (worker, tenant) WHERE worker IS NOT NULL;
CREATE UNIQUE INDEX job_dedupe ON jobs.job (tenant, kind, dedupe_key) WHERE dedupe_key IS NOT NULL;
COMMENT ON TABLE jobs.job IS 'Jobs that wait or run. One that is done is gone.';
COMMENT ON COLUMN jobs.job.id IS 'Its number.';
COMMENT ON COLUMN jobs.job.organization_id IS 'For whom it is done; NULL: for the house itself.';
COMMENT ON COLUMN jobs.job.tenant IS 'organization_id, 0 for the house itself.';
COMMENT ON COLUMN jobs.job.kind IS 'What is to be done, room.what.';
COMMENT ON COLUMN jobs.job.payload IS 'What it is to be done with; its shape is the kind''s.';
COMMENT ON COLUMN jobs.job.priority IS '0: urgent, 1: normal, 2: bulk. Within an organisation the lower goes first.';
COMMENT ON COLUMN jobs.job.run_at IS 'Not before.';
COMMENT ON COLUMN jobs.job.attempt IS 'How often it was taken.';
COMMENT ON COLUMN jobs.job.max_attempts IS 'After how many it is given up.';
COMMENT ON COLUMN jobs.job.dedupe_key IS 'At most one unfinished job of this kind and organisation has it.';
COMMENT ON COLUMN jobs.job.again IS 'It was asked for once more while it ran: it runs again afterwards.';
COMMENT ON COLUMN jobs.job.request_id IS 'The request that asked for it.';
COMMENT ON COLUMN jobs.job.created_at IS 'When it was asked for.';
COMMENT ON COLUMN jobs.job.worker IS 'Who has taken it; NULL: it waits.';
COMMENT ON COLUMN jobs.job.last_error IS 'Why the last attempt failed.';

CREATE TABLE jobs.dead (
    id bigint PRIMARY KEY,
    organization_id int REFERENCES platform.organization,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    priority smallint NOT NULL,
    attempts int NOT NULL,
    max_attempts int NOT NULL,
    dedupe_key text,
    request_id text,
    created_at timestamptz NOT NULL,
    died_at timestamptz NOT NULL,
    reason text NOT NULL
);
CREATE INDEX ON jobs.dead (organization_id, died_at);
COMMENT ON TABLE jobs.dead IS 'Dead letters: jobs that were given up, kept until they are replayed or thrown away.';
COMMENT ON COLUMN jobs.dead.id IS 'The number that the job had.';
COMMENT ON COLUMN jobs.dead.organization_id IS 'For whom it was to be done; NULL: for the house itself.';
COMMENT ON COLUMN jobs.dead.kind IS 'What was to be done.';
COMMENT ON COLUMN jobs.dead.payload IS 'What with.';
COMMENT ON COLUMN jobs.dead.priority IS '0: urgent, 1: normal, 2: bulk.';
COMMENT ON COLUMN jobs.dead.attempts IS 'How often it was tried.';
COMMENT ON COLUMN jobs.dead.max_attempts IS 'How often it may be tried when it is replayed.';
COMMENT ON COLUMN jobs.dead.dedupe_key IS 'Its key, which is free again.';
COMMENT ON COLUMN jobs.dead.request_id IS 'The request that asked for it.';
COMMENT ON COLUMN jobs.dead.created_at IS 'When it was asked for.';
COMMENT ON COLUMN jobs.dead.died_at IS 'When it was given up.';
COMMENT ON COLUMN jobs.dead.reason IS 'Why the last attempt failed.';

CREATE TABLE jobs.schedule (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int REFERENCES platform.organization,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    cron text NOT NULL,
    time_zone text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    priority smallint NOT NULL,
    max_attempts int NOT NULL,
    next_at timestamptz NOT NULL,
    last_at timestamptz
);
CREATE UNIQUE INDEX schedule_name ON jobs.schedule ((coalesce(organization_id, 0)), name);
CREATE INDEX ON jobs.schedule (next_at);
COMMENT ON TABLE jobs.schedule IS 'Jobs that come again and again.';
COMMENT ON COLUMN jobs.schedule.id IS 'Its number.';
COMMENT ON COLUMN jobs.schedule.organization_id IS 'For whom; NULL: for the house itself.';
COMMENT ON COLUMN jobs.schedule.name IS 'Its name, unique within the organisation.';
COMMENT ON COLUMN jobs.schedule.cron IS 'When: five fields of cron, or six with seconds first.';
COMMENT ON COLUMN jobs.schedule.time_zone IS 'In which time zone, by its IANA name.';
COMMENT ON COLUMN jobs.schedule.kind IS 'What is to be done.';
COMMENT ON COLUMN jobs.schedule.payload IS 'What with.';
COMMENT ON COLUMN jobs.schedule.priority IS '0: urgent, 1: normal, 2: bulk.';
COMMENT ON COLUMN jobs.schedule.max_attempts IS 'How often one run may be tried.';
COMMENT ON COLUMN jobs.schedule.next_at IS 'When it is due next.';
COMMENT ON COLUMN jobs.schedule.last_at IS 'When it was due last.';

CALL platform.protect('jobs.job');
CALL platform.protect('jobs.dead', app_may => 'SELECT, INSERT, DELETE');
CALL platform.protect('jobs.schedule');
