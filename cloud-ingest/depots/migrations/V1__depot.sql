-- What stands in depots: the files that depot-config checks, every version of them.

COMMENT ON SCHEMA depots IS 'What stands in depots, as their files say it.';

CREATE TABLE depots.depot (
    organization_id int NOT NULL REFERENCES platform.organization,
    id text NOT NULL CHECK (id ~ '^[a-z0-9._-]{1,64}$'),
    name text NOT NULL,
    version int NOT NULL CHECK (version > 0),
    etag text NOT NULL,
    PRIMARY KEY (organization_id, id)
);
COMMENT ON TABLE depots.depot IS 'Depots and which version of their file holds.';
COMMENT ON COLUMN depots.depot.organization_id IS 'Whose depot.';
COMMENT ON COLUMN depots.depot.id IS 'Its id, as its file says it.';
COMMENT ON COLUMN depots.depot.name IS 'What people call it, as its file says it.';
COMMENT ON COLUMN depots.depot.version IS 'The version that holds, counted from 1.';
COMMENT ON COLUMN depots.depot.etag IS 'The ETag of that version.';

CREATE TABLE depots.version (
    organization_id int NOT NULL,
    depot_id text NOT NULL,
    version int NOT NULL CHECK (version > 0),
    text text NOT NULL,
    files jsonb NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    written_at timestamptz NOT NULL,
    written_by text NOT NULL,
    PRIMARY KEY (organization_id, depot_id, version),
    FOREIGN KEY (organization_id, depot_id) REFERENCES depots.depot (organization_id, id)
);
COMMENT ON TABLE depots.version IS 'Every version of every depot''s file. Rows never change.';
COMMENT ON COLUMN depots.version.organization_id IS 'Whose depot.';
COMMENT ON COLUMN depots.version.depot_id IS 'The depot.';
COMMENT ON COLUMN depots.version.version IS 'Which version of its file, from 1.';
COMMENT ON COLUMN depots.version.text IS 'The file (TOML), to the byte as it was sent.';
COMMENT ON COLUMN depots.version.files IS 'The texts of the files that it names, by their paths.';
COMMENT ON COLUMN depots.version.digest IS 'SHA-256 of the file and of those that it names.';
COMMENT ON COLUMN depots.version.written_at IS 'When it was written.';
COMMENT ON COLUMN depots.version.written_by IS 'Who wrote it: user, key or job with its number.';

CALL platform.protect('depots.depot', app_may => 'SELECT, INSERT, UPDATE');
CALL platform.protect('depots.version', app_may => 'SELECT, INSERT');
