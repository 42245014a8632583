-- What happened. Business writes into the outbox, in its own transaction; a relay moves it to the log of its organisation,
-- where it gets its position, and hands it to the endpoints that want it.
--
-- Order: writers of one aggregate wait for each other (events.aggregate), so that the outbox has its events in the order
-- in which they happened, and the relay, one at a time for an organisation, keeps that order.

COMMENT ON SCHEMA events IS 'What happened: outbox, log, webhooks out and in.';

CREATE TABLE events.aggregate (
    organization_id int NOT NULL REFERENCES platform.organization,
    aggregate text NOT NULL CHECK (length(aggregate) BETWEEN 1 AND 200),
    sequence bigint NOT NULL,
    PRIMARY KEY (organization_id, aggregate)
);
COMMENT ON TABLE events.aggregate IS 'How many events each thing has had.';
COMMENT ON COLUMN events.aggregate.organization_id IS 'Whose it is.';
COMMENT ON COLUMN events.aggregate.aggregate IS 'What it is, such as vehicle:17.';
COMMENT ON COLUMN events.aggregate.sequence IS 'Number of its last event.';

CREATE TABLE events.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    event_id uuid NOT NULL,
    aggregate text NOT NULL,
    sequence bigint NOT NULL,
    name text NOT NULL,
    version smallint NOT NULL,
    payload jsonb NOT NULL,
    request_id text NOT NULL,
    at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX ON events.outbox (organization_id, id);
COMMENT ON TABLE events.outbox IS 'Events that were written and are not in the log yet.';
COMMENT ON COLUMN events.outbox.id IS 'Its number; of one aggregate, later ones are greater.';
COMMENT ON COLUMN events.outbox.organization_id IS 'Whose it is.';
COMMENT ON COLUMN events.outbox.event_id IS 'Its name for receivers, the same at every delivery.';
COMMENT ON COLUMN events.outbox.aggregate IS 'What it happened to.';
COMMENT ON COLUMN events.outbox.sequence IS 'The how manieth event of that.';
COMMENT ON COLUMN events.outbox.name IS 'What happened, as the catalogue calls it.';
COMMENT ON COLUMN events.outbox.version IS 'Version of its payload.';
COMMENT ON COLUMN events.outbox.payload IS 'The payload, as the catalogue describes it.';
COMMENT ON COLUMN events.outbox.request_id IS 'The request in which it happened.';
COMMENT ON COLUMN events.outbox.at IS 'When.';

CREATE TABLE events.head (
    organization_id int PRIMARY KEY REFERENCES platform.organization,
    position bigint NOT NULL
);
COMMENT ON TABLE events.head IS 'Where the log of each organisation ends.';
COMMENT ON COLUMN events.head.organization_id IS 'The organisation.';
COMMENT ON COLUMN events.head.position IS 'Position of its last event.';

CREATE TABLE events.log (
    organization_id int NOT NULL REFERENCES platform.organization,
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    aggregate text NOT NULL,
    sequence bigint NOT NULL,
    name text NOT NULL,
    version smallint NOT NULL,
    payload jsonb NOT NULL,
    request_id text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, position)
);
CREATE INDEX ON events.log (at);
COMMENT ON TABLE events.log IS 'Events in their order, kept for 30 days.';
COMMENT ON COLUMN events.log.organization_id IS 'Whose it is.';
COMMENT ON COLUMN events.log.position IS 'Its place in the log of the organisation, from 1, without gaps.';
COMMENT ON COLUMN events.log.event_id IS 'Its name for receivers.';
COMMENT ON COLUMN events.log.aggregate IS 'What it happened to.';
COMMENT ON COLUMN events.log.sequence IS 'The how manieth event of that.';
COMMENT ON COLUMN events.log.name IS 'What happened.';
COMMENT ON COLUMN events.log.version IS 'Version of its payload.';
COMMENT ON COLUMN events.log.payload IS 'The payload.';
COMMENT ON COLUMN events.log.request_id IS 'The request in which it happened.';
COMMENT ON COLUMN events.log.at IS 'When.';

CREATE TABLE events.endpoint (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    url text NOT NULL CHECK (length(url) <= 2000),
    description text NOT NULL CHECK (length(description) <= 500),
    names text[] NOT NULL,
    secret bytea,
    old_secret bytea,
    old_until timestamptz,
    created_at timestamptz NOT NULL,
    failing_since timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE events.endpoint IS 'Where events are delivered to: outgoing webhooks.';
COMMENT ON COLUMN events.endpoint.id IS 'Its number.';
COMMENT ON COLUMN events.endpoint.organization_id IS 'Whose it is.';
COMMENT ON COLUMN events.endpoint.url IS 'The URL that is posted to.';
COMMENT ON COLUMN events.endpoint.description IS 'What it is for, for people.';
COMMENT ON COLUMN events.endpoint.names IS 'The events that it wants.';
COMMENT ON COLUMN events.endpoint.secret IS 'The secret that signs, sealed.';
COMMENT ON COLUMN events.endpoint.old_secret IS 'The one before, sealed, which signs beside it for a while.';
COMMENT ON COLUMN events.endpoint.old_until IS 'Until when the old one signs.';
COMMENT ON COLUMN events.endpoint.created_at IS 'When it was made.';
COMMENT ON COLUMN events.endpoint.failing_since IS 'Since when every delivery has failed; NULL: the last one succeeded.';
COMMENT ON COLUMN events.endpoint.disabled_at IS 'Since when nothing is delivered to it; NULL: it is in use.';
COMMENT ON COLUMN events.endpoint.disabled_reason IS 'Why.';

CREATE TABLE events.delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL,
    endpoint_id bigint NOT NULL,
    position bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, endpoint_id) REFERENCES events.endpoint (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, position) REFERENCES events.log (organization_id, position) ON DELETE CASCADE
);
CREATE INDEX ON events.delivery (endpoint_id, id);
CREATE INDEX ON events.delivery (organization_id, position);
COMMENT ON TABLE events.delivery IS 'Each event that an endpoint is to get.';
COMMENT ON COLUMN events.delivery.id IS 'Its number.';
COMMENT ON COLUMN events.delivery.organization_id IS 'Whose it is.';
COMMENT ON COLUMN events.delivery.endpoint_id IS 'Where to.';
COMMENT ON COLUMN events.delivery.position IS 'Which event.';
COMMENT ON COLUMN events.delivery.state IS 'waiting: not delivered yet; delivered; failed: given up, until it is replayed.';
COMMENT ON COLUMN events.delivery.attempts IS 'How often it was tried, replays included.';
COMMENT ON COLUMN events.delivery.created_at IS 'When it was decided.';
COMMENT ON COLUMN events.delivery.ended_at IS 'When it was delivered or given up.';

CREATE TABLE events.attempt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL,
    delivery_id bigint NOT NULL,
    at timestamptz NOT NULL,
    duration_ms int NOT NULL,
    status int,
    error text,
    answer text,
    FOREIGN KEY (organization_id, delivery_id) REFERENCES events.delivery (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX ON events.attempt (delivery_id);
COMMENT ON TABLE events.attempt IS 'The delivery log: what came of each attempt.';
COMMENT ON COLUMN events.attempt.id IS 'Its number.';
COMMENT ON COLUMN events.attempt.organization_id IS 'Whose it is.';
COMMENT ON COLUMN events.attempt.delivery_id IS 'Of which delivery.';
COMMENT ON COLUMN events.attempt.at IS 'When it began.';
COMMENT ON COLUMN events.attempt.duration_ms IS 'How long it took, in milliseconds.';
COMMENT ON COLUMN events.attempt.status IS 'The HTTP status of the answer; NULL: there was none.';
COMMENT ON COLUMN events.attempt.error IS 'Why there was none.';
COMMENT ON COLUMN events.attempt.answer IS 'How the answer begins.';

CREATE TABLE events.received (
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 100),
    message_id text NOT NULL CHECK (length(message_id) BETWEEN 1 AND 200),
    organization_id int NOT NULL REFERENCES platform.organization,
    at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, source, message_id)
);
COMMENT ON TABLE events.received IS 'Incoming webhooks that were dealt with: each only once.';
COMMENT ON COLUMN events.received.source IS 'Who sent it, such as payments.';
COMMENT ON COLUMN events.received.message_id IS 'The sender''s id of it.';
COMMENT ON COLUMN events.received.organization_id IS 'Whom it concerned.';
COMMENT ON COLUMN events.received.at IS 'When it was dealt with.';

CALL platform.protect('events.aggregate', app_may => 'SELECT, INSERT, UPDATE');
CALL platform.protect('events.outbox', app_may => 'INSERT');
CALL platform.protect('events.head', app_may => 'SELECT');
CALL platform.protect('events.log', app_may => 'SELECT');
CALL platform.protect('events.endpoint');
CALL platform.protect('events.delivery', app_may => 'SELECT, UPDATE');
CALL platform.protect('events.attempt', app_may => 'SELECT, INSERT');
CALL platform.protect('events.received', app_may => 'SELECT, INSERT');
