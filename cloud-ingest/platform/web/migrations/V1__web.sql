-- What the frame of the API keeps.

COMMENT ON SCHEMA web IS 'The frame of the HTTP API.';

CREATE TABLE web.answer (
    organization_id int NOT NULL REFERENCES platform.organization,
    caller text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    method text NOT NULL,
    path text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    status smallint,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, caller, key)
);
CREATE INDEX answer_by_age ON web.answer (created_at);
COMMENT ON TABLE web.answer IS 'Answers to requests with an Idempotency-Key, written in the transaction that did what was asked; kept for a day.';
COMMENT ON COLUMN web.answer.organization_id IS 'For whom it was asked.';
COMMENT ON COLUMN web.answer.caller IS 'Who asked.';
COMMENT ON COLUMN web.answer.key IS 'The caller''s key for it.';
COMMENT ON COLUMN web.answer.method IS 'The method of the request.';
COMMENT ON COLUMN web.answer.path IS 'Its path and query.';
COMMENT ON COLUMN web.answer.digest IS 'SHA-256 of its body.';
COMMENT ON COLUMN web.answer.status IS 'The status of the answer; NULL only within the transaction that finds it.';
COMMENT ON COLUMN web.answer.body IS 'The body of the answer.';
COMMENT ON COLUMN web.answer.created_at IS 'When.';

CALL platform.protect('web.answer', app_may => 'SELECT, INSERT, UPDATE');
