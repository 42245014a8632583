-- Files: what is known of them. Their bytes are in a store, under the organisation and the SHA-256 of the content.

COMMENT ON SCHEMA vault IS 'Secrets and files.';

CREATE TABLE vault.file (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    size bigint NOT NULL CHECK (size >= 0),
    media_type text NOT NULL CHECK (length(media_type) BETWEEN 3 AND 200),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX ON vault.file (organization_id, sha256);
COMMENT ON TABLE vault.file IS 'Photos and documents.';
COMMENT ON COLUMN vault.file.id IS 'Its number.';
COMMENT ON COLUMN vault.file.organization_id IS 'Whose it is.';
COMMENT ON COLUMN vault.file.sha256 IS 'SHA-256 of its content, which is where the content is.';
COMMENT ON COLUMN vault.file.size IS 'Length of its content in bytes.';
COMMENT ON COLUMN vault.file.media_type IS 'What it is, such as image/jpeg.';
COMMENT ON COLUMN vault.file.name IS 'Its name, for people.';
COMMENT ON COLUMN vault.file.created_by IS 'Who brought it: user:12, key:7, system:name, job:kind.';
COMMENT ON COLUMN vault.file.created_at IS 'When.';

CALL platform.protect('vault.file');
