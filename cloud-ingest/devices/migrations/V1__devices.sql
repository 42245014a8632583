-- Devices that are no gateways: trackers that dial in, vehicles of a telematics service, devices that speak JSON. They sign
-- nothing and number nothing, so what was taken of them is remembered record by record (telemetry.taken), in the transaction of
-- its rows.

COMMENT ON SCHEMA devices IS 'Devices that are no gateways: who they are, and what was taken of them.';

CREATE TABLE devices.device (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    asset_id int NOT NULL,
    kind text NOT NULL CHECK (kind IN ('teltonika', 'geotab', 'json')),
    key text NOT NULL CHECK (key ~ '^[A-Za-z0-9._/-]{1,100}$'),
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    records bigint NOT NULL DEFAULT 0,
    last_at timestamptz,
    seen_at timestamptz,
    UNIQUE (kind, key),
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, asset_id) REFERENCES platform.asset (organization_id, id)
);
CREATE INDEX device_asset ON devices.device (asset_id);
COMMENT ON TABLE devices.device IS 'The register: which device speaks of which asset.';
COMMENT ON COLUMN devices.device.id IS 'Its number.';
COMMENT ON COLUMN devices.device.organization_id IS 'Who owns it.';
COMMENT ON COLUMN devices.device.asset_id IS 'What it measures.';
COMMENT ON COLUMN devices.device.kind IS 'teltonika: dials our server; geotab: a vehicle of a MyGeotab database; json: publishes JSON over MQTT.';
COMMENT ON COLUMN devices.device.key IS 'How it names itself: its IMEI; database/id at MyGeotab; the last level of its topic.';
COMMENT ON COLUMN devices.device.created_at IS 'When it was registered.';
COMMENT ON COLUMN devices.device.removed_at IS 'Since when nothing of it is taken any more; NULL: it is in service.';
COMMENT ON COLUMN devices.device.records IS 'How many of its records are stored; moves in their transaction.';
COMMENT ON COLUMN devices.device.last_at IS 'The time of the latest of them.';
COMMENT ON COLUMN devices.device.seen_at IS 'When a record of it was last stored.';

CREATE TABLE devices.refused (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL,
    device_id int NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 16),
    reason text NOT NULL,
    detail text NOT NULL,
    payload bytea NOT NULL,
    received_at timestamptz NOT NULL,
    UNIQUE (device_id, digest),
    FOREIGN KEY (organization_id, device_id) REFERENCES devices.device (organization_id, id)
);
COMMENT ON TABLE devices.refused IS 'Records that cannot be true, with the reason and every byte.';
COMMENT ON COLUMN devices.refused.id IS 'Its number.';
COMMENT ON COLUMN devices.refused.organization_id IS 'Who owns the device.';
COMMENT ON COLUMN devices.refused.device_id IS 'The device.';
COMMENT ON COLUMN devices.refused.digest IS 'The key of telemetry.taken: first 16 bytes of the SHA-256 of its content.';
COMMENT ON COLUMN devices.refused.reason IS 'Why: impossible_time.';
COMMENT ON COLUMN devices.refused.detail IS 'Why, for people.';
COMMENT ON COLUMN devices.refused.payload IS 'The record as it arrived.';
COMMENT ON COLUMN devices.refused.received_at IS 'When it arrived.';

CREATE TABLE devices.unread (
    organization_id int NOT NULL,
    device_id int NOT NULL,
    code text NOT NULL CHECK (length(code) BETWEEN 1 AND 200),
    reason text NOT NULL CHECK (reason IN ('unmapped', 'impossible')),
    occurrences bigint NOT NULL,
    detail text NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (device_id, code, reason),
    FOREIGN KEY (organization_id, device_id) REFERENCES devices.device (organization_id, id)
);
COMMENT ON TABLE devices.unread IS 'Values of stored records that are not stored, counted: nothing is left out silently.';
COMMENT ON COLUMN devices.unread.organization_id IS 'Who owns the device.';
COMMENT ON COLUMN devices.unread.device_id IS 'The device.';
COMMENT ON COLUMN devices.unread.code IS 'The device''s own name of the signal: an AVL id, a diagnostic.';
COMMENT ON COLUMN devices.unread.reason IS 'unmapped: no list says what it means; impossible: the value cannot be true.';
COMMENT ON COLUMN devices.unread.occurrences IS 'How many there were.';
COMMENT ON COLUMN devices.unread.detail IS 'The last of them, for people.';
COMMENT ON COLUMN devices.unread.last_at IS 'The time of the latest.';

CREATE TABLE devices.command (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL,
    device_id int NOT NULL,
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 1000),
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'done', 'refused', 'expired')),
    answer text NOT NULL DEFAULT '',
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > issued_at),
    sent_at timestamptz,
    ended_at timestamptz,
    FOREIGN KEY (organization_id, device_id) REFERENCES devices.device (organization_id, id)
);
CREATE INDEX command_open ON devices.command (device_id, id) WHERE state IN ('queued', 'sent');
COMMENT ON TABLE devices.command IS 'What devices are told to do. Each is sent once: a device has no way to tell a command from the same command sent again.';
COMMENT ON COLUMN devices.command.id IS 'Its number.';
COMMENT ON COLUMN devices.command.organization_id IS 'Who owns the device.';
COMMENT ON COLUMN devices.command.device_id IS 'To whom.';
COMMENT ON COLUMN devices.command.text IS 'What the device is to do, in its own words.';
COMMENT ON COLUMN devices.command.state IS 'queued; sent; then done (answered), refused (another device answered) or expired (no answer in time; one that comes later still counts).';
COMMENT ON COLUMN devices.command.answer IS 'What the device said.';
COMMENT ON COLUMN devices.command.issued_at IS 'When it was issued.';
COMMENT ON COLUMN devices.command.expires_at IS 'After when it is not sent any more.';
COMMENT ON COLUMN devices.command.sent_at IS 'When it was sent.';
COMMENT ON COLUMN devices.command.ended_at IS 'When the answer came, or when it expired.';

CALL platform.protect('devices.device', app_may => 'SELECT', reader_may => true);
CALL platform.protect('devices.refused', app_may => 'SELECT');
CALL platform.protect('devices.unread', app_may => 'SELECT', reader_may => true);
CALL platform.protect('devices.command', app_may => 'SELECT');
