-- What gateways are told to do, and what became of it.

CREATE TABLE telemetry.command (
    id bytea PRIMARY KEY CHECK (length(id) = 16),
    gateway_id int NOT NULL REFERENCES platform.gateway,
    kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 100),
    argument text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'received', 'done', 'refused', 'expired')),
    detail text NOT NULL DEFAULT '',
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > issued_at),
    sends int NOT NULL DEFAULT 0,
    sent_at timestamptz,
    next_at timestamptz NOT NULL,
    received_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX command_open ON telemetry.command (next_at) WHERE state IN ('queued', 'sent', 'received');
CREATE INDEX command_gateway ON telemetry.command (gateway_id, issued_at);
COMMENT ON TABLE telemetry.command IS 'Commands to gateways. Each is signed, sent until it is answered or expires, and carried out at most once.';
COMMENT ON COLUMN telemetry.command.id IS 'Random; names the command in its answer.';
COMMENT ON COLUMN telemetry.command.gateway_id IS 'To whom.';
COMMENT ON COLUMN telemetry.command.kind IS 'What to do: ping, send-columns.';
COMMENT ON COLUMN telemetry.command.argument IS 'With what; for send-columns the epoch.';
COMMENT ON COLUMN telemetry.command.state IS 'queued, sent, received; then done, refused (not or not certainly carried out) or expired (no answer in time; one that comes later still counts).';
COMMENT ON COLUMN telemetry.command.detail IS 'What the gateway says beside it.';
COMMENT ON COLUMN telemetry.command.issued_at IS 'When it was issued.';
COMMENT ON COLUMN telemetry.command.expires_at IS 'After when it must not be carried out.';
COMMENT ON COLUMN telemetry.command.sends IS 'How many times it was sent.';
COMMENT ON COLUMN telemetry.command.sent_at IS 'When it was last sent.';
COMMENT ON COLUMN telemetry.command.next_at IS 'When it is sent again if there is no answer.';
COMMENT ON COLUMN telemetry.command.received_at IS 'When the gateway says that it received it.';
COMMENT ON COLUMN telemetry.command.ended_at IS 'When the gateway says that it ended, or when it expired.';

CALL telemetry.protect('telemetry.command', 'gateway_id IN (SELECT id FROM platform.gateway)');

INSERT INTO telemetry.retention VALUES ('command', '400 days', NULL);
