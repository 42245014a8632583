-- What people ask about their data, and the proof of what was done.

COMMENT ON SCHEMA privacy IS 'Requests of people about their personal data, and proofs of what was done.';

CREATE TABLE privacy.request (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    kind text NOT NULL CHECK (kind IN ('access', 'rectification', 'erasure', 'objection')),
    subject text NOT NULL CHECK (subject ~ '^[a-z_]+:[0-9]+$'),
    origin text NOT NULL CHECK (origin IN ('person', 'retention')),
    asked_by text NOT NULL,
    request_id text NOT NULL,
    asked_at timestamptz NOT NULL,
    due_on date NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'refused')),
    ended_at timestamptz,
    because text CHECK (length(because) BETWEEN 1 AND 500),
    also text[] NOT NULL DEFAULT '{}',
    receipt bytea CHECK (length(receipt) = 32),
    proof bytea CHECK (length(proof) = 32),
    UNIQUE (organization_id, id),
    CHECK ((state = 'open') = (ended_at IS NULL)),
    CHECK ((state = 'done') = (proof IS NOT NULL)),
    CHECK (state = 'open' OR (receipt IS NULL AND also = '{}'))
);
CREATE UNIQUE INDEX request_open ON privacy.request (organization_id, subject, kind) WHERE state = 'open';
CREATE INDEX request_due ON privacy.request (due_on) WHERE state = 'open';
COMMENT ON TABLE privacy.request IS 'Requests about personal data (ARCO), and their outcome.';
COMMENT ON COLUMN privacy.request.id IS 'Number.';
COMMENT ON COLUMN privacy.request.organization_id IS 'Who has to answer.';
COMMENT ON COLUMN privacy.request.kind IS 'Which right is exercised.';
COMMENT ON COLUMN privacy.request.subject IS 'Whose data: the kind of person and their number, such as user:12.';
COMMENT ON COLUMN privacy.request.origin IS 'Who wants it: the person, or the end of the time for which data are kept.';
COMMENT ON COLUMN privacy.request.asked_by IS 'Who wrote the request down.';
COMMENT ON COLUMN privacy.request.request_id IS 'Request by which it came.';
COMMENT ON COLUMN privacy.request.asked_at IS 'When.';
COMMENT ON COLUMN privacy.request.due_on IS 'Last day for the answer, in Mexico City.';
COMMENT ON COLUMN privacy.request.state IS 'What became of it.';
COMMENT ON COLUMN privacy.request.ended_at IS 'When it was carried out or refused.';
COMMENT ON COLUMN privacy.request.because IS 'Why it was refused, or what was answered; names nobody.';
COMMENT ON COLUMN privacy.request.also IS 'How else the person is known, such as a phone number; emptied when it has ended.';
COMMENT ON COLUMN privacy.request.receipt IS 'Salt of the digests; only whoever asked has it afterwards.';
COMMENT ON COLUMN privacy.request.proof IS 'SHA-256 of the steps; the audit trail has it, too.';

CREATE TABLE privacy.step (
    organization_id int NOT NULL,
    request_id bigint NOT NULL,
    number int NOT NULL,
    what text NOT NULL CHECK (what IN ('exported', 'corrected', 'deleted', 'blanked', 'redacted', 'kept')),
    relation text NOT NULL,
    columns text[] NOT NULL,
    rows bigint NOT NULL CHECK (rows >= 0),
    digest bytea NOT NULL CHECK (length(digest) = 32),
    because text NOT NULL DEFAULT '',
    PRIMARY KEY (request_id, number),
    FOREIGN KEY (organization_id, request_id) REFERENCES privacy.request (organization_id, id)
);
COMMENT ON TABLE privacy.step IS 'What was done for a request, table by table, without the data.';
COMMENT ON COLUMN privacy.step.organization_id IS 'Who answered.';
COMMENT ON COLUMN privacy.step.request_id IS 'The request.';
COMMENT ON COLUMN privacy.step.number IS 'Place among its steps, from 1.';
COMMENT ON COLUMN privacy.step.what IS 'What was done.';
COMMENT ON COLUMN privacy.step.relation IS 'To which table.';
COMMENT ON COLUMN privacy.step.columns IS 'To which columns of it.';
COMMENT ON COLUMN privacy.step.rows IS 'To how many rows.';
COMMENT ON COLUMN privacy.step.digest IS 'SHA-256 of the receipt and what stood there before.';
COMMENT ON COLUMN privacy.step.because IS 'Why it is kept.';

CREATE TABLE privacy.forgotten (
    relation text NOT NULL,
    at timestamptz NOT NULL,
    rows bigint NOT NULL CHECK (rows > 0),
    PRIMARY KEY (relation, at)
);
COMMENT ON TABLE privacy.forgotten IS 'What was deleted because its time was over.';
COMMENT ON COLUMN privacy.forgotten.relation IS 'Of which table.';
COMMENT ON COLUMN privacy.forgotten.at IS 'When.';
COMMENT ON COLUMN privacy.forgotten.rows IS 'How many rows.';

CALL platform.protect('privacy.request', app_may => 'SELECT, INSERT, UPDATE');
-- The receipt goes to whoever asks, once, and is read by the system alone.
REVOKE SELECT ON privacy.request FROM patio_app;
GRANT SELECT (id, organization_id, kind, subject, origin, asked_by, request_id, asked_at, due_on, state, ended_at, because, proof)
    ON privacy.request TO patio_app;
CALL platform.protect('privacy.step', app_may => 'SELECT');
