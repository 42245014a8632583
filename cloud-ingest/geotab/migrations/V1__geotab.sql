-- MyGeotab databases that are asked, how far each of their feeds has come, and faults of vehicles.

COMMENT ON SCHEMA geotab IS 'MyGeotab: databases, their feeds, faults of vehicles.';

CREATE TABLE geotab.account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    database text NOT NULL UNIQUE CHECK (database ~ '^[A-Za-z0-9._-]{1,48}$'),
    server text NOT NULL CHECK (length(server) BETWEEN 1 AND 253),
    user_name text NOT NULL CHECK (length(user_name) BETWEEN 1 AND 200),
    password bytea,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    fault text NOT NULL DEFAULT '',
    holder text NOT NULL DEFAULT '',
    held_until timestamptz,
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE geotab.account IS 'MyGeotab databases that are asked.';
COMMENT ON COLUMN geotab.account.id IS 'Its number.';
COMMENT ON COLUMN geotab.account.organization_id IS 'Whose vehicles.';
COMMENT ON COLUMN geotab.account.database IS 'Its name at MyGeotab.';
COMMENT ON COLUMN geotab.account.server IS 'The host to begin with.';
COMMENT ON COLUMN geotab.account.user_name IS 'Who signs in.';
COMMENT ON COLUMN geotab.account.password IS 'The password, sealed for this row; NULL only while the row is made.';
COMMENT ON COLUMN geotab.account.created_at IS 'Since when it is asked; feeds begin there.';
COMMENT ON COLUMN geotab.account.removed_at IS 'Since when it is not asked any more; NULL: it is.';
COMMENT ON COLUMN geotab.account.fault IS 'Why it cannot be asked now; empty: it can.';
COMMENT ON COLUMN geotab.account.holder IS 'The process that asks.';
COMMENT ON COLUMN geotab.account.held_until IS 'Until when no other does.';

CREATE TABLE geotab.feed (
    organization_id int NOT NULL,
    account_id bigint NOT NULL,
    entity text NOT NULL CHECK (entity IN ('Device', 'LogRecord', 'StatusData', 'FaultData')),
    version text NOT NULL DEFAULT '',
    records bigint NOT NULL DEFAULT 0,
    moved_at timestamptz,
    PRIMARY KEY (account_id, entity),
    FOREIGN KEY (organization_id, account_id) REFERENCES geotab.account (organization_id, id)
);
COMMENT ON TABLE geotab.feed IS 'How far feeds have come; moves in the transaction of the rows.';
COMMENT ON COLUMN geotab.feed.organization_id IS 'Whose vehicles.';
COMMENT ON COLUMN geotab.feed.account_id IS 'The database.';
COMMENT ON COLUMN geotab.feed.entity IS 'What it is a feed of.';
COMMENT ON COLUMN geotab.feed.version IS 'The version up to which everything is stored; empty: nothing is.';
COMMENT ON COLUMN geotab.feed.records IS 'How many records came.';
COMMENT ON COLUMN geotab.feed.moved_at IS 'When it last moved.';

CREATE TABLE geotab.fault (
    organization_id int NOT NULL,
    account_id bigint NOT NULL,
    id text NOT NULL,
    device_id int NOT NULL REFERENCES devices.device,
    time timestamptz NOT NULL,
    diagnostic text NOT NULL,
    payload jsonb NOT NULL,
    PRIMARY KEY (account_id, id),
    FOREIGN KEY (organization_id, account_id) REFERENCES geotab.account (organization_id, id)
);
CREATE INDEX fault_device_time ON geotab.fault (device_id, time);
COMMENT ON TABLE geotab.fault IS 'Faults that vehicles reported (FaultData).';
COMMENT ON COLUMN geotab.fault.organization_id IS 'Whose vehicle.';
COMMENT ON COLUMN geotab.fault.account_id IS 'The database.';
COMMENT ON COLUMN geotab.fault.id IS 'Its id at MyGeotab.';
COMMENT ON COLUMN geotab.fault.device_id IS 'The vehicle''s device.';
COMMENT ON COLUMN geotab.fault.time IS 'When it was reported.';
COMMENT ON COLUMN geotab.fault.diagnostic IS 'Which fault.';
COMMENT ON COLUMN geotab.fault.payload IS 'All of it.';

CALL platform.protect('geotab.account', app_may => '');
CALL platform.protect('geotab.feed', app_may => 'SELECT');
CALL platform.protect('geotab.fault', app_may => 'SELECT', reader_may => true);
