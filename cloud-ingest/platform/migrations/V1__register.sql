-- The register: organisations, gateways and their public keys, assets.
-- Every table carries organization_id, and foreign keys are composite, so that a row cannot point into another
-- organisation.

COMMENT ON SCHEMA platform IS 'The floor: organisations, gateways, assets.';

CREATE TABLE platform.organization (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE platform.organization IS 'Who owns gateways and assets; the tenant.';
COMMENT ON COLUMN platform.organization.id IS 'Its number.';
COMMENT ON COLUMN platform.organization.name IS 'Its name, for people.';
COMMENT ON COLUMN platform.organization.created_at IS 'When it was created.';

CREATE TABLE platform.gateway (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9-]{1,32}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE platform.gateway IS 'Depot gateways.';
COMMENT ON COLUMN platform.gateway.id IS 'Its number.';
COMMENT ON COLUMN platform.gateway.organization_id IS 'Who owns it.';
COMMENT ON COLUMN platform.gateway.name IS 'Its name in topics, certificates and blocks; unique over all organisations.';
COMMENT ON COLUMN platform.gateway.created_at IS 'When it was registered.';
COMMENT ON COLUMN platform.gateway.revoked_at IS 'Since when nothing of it is taken any more; NULL: it is in service.';

CREATE TABLE platform.gateway_key (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL,
    gateway_id int NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    from_counter bigint NOT NULL DEFAULT 0 CHECK (from_counter BETWEEN 0 AND 4294967295),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    UNIQUE (gateway_id, public_key),
    FOREIGN KEY (organization_id, gateway_id) REFERENCES platform.gateway (organization_id, id)
);
COMMENT ON TABLE platform.gateway_key IS 'Public keys by which gateways sign.';
COMMENT ON COLUMN platform.gateway_key.id IS 'Its number.';
COMMENT ON COLUMN platform.gateway_key.organization_id IS 'Who owns the gateway.';
COMMENT ON COLUMN platform.gateway_key.gateway_id IS 'The gateway.';
COMMENT ON COLUMN platform.gateway_key.public_key IS 'Ed25519 public key, 32 bytes.';
COMMENT ON COLUMN platform.gateway_key.from_counter IS 'Least epoch counter that it may sign.';
COMMENT ON COLUMN platform.gateway_key.created_at IS 'When it was registered.';
COMMENT ON COLUMN platform.gateway_key.revoked_at IS 'Since when what it signs is refused; NULL: it is trusted.';

CREATE TABLE platform.asset (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    kind text CHECK (kind IN ('vehicle', 'charger', 'meter', 'gateway')),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE platform.asset IS 'What is measured: vehicles, chargers, meters, gateways.';
COMMENT ON COLUMN platform.asset.id IS 'Its number.';
COMMENT ON COLUMN platform.asset.organization_id IS 'Who owns it.';
COMMENT ON COLUMN platform.asset.kind IS 'vehicle, charger, meter or gateway; NULL: not assigned yet, created because a gateway sent samples of it.';
COMMENT ON COLUMN platform.asset.name IS 'Its name, for people; at first the gateway and its local key.';
COMMENT ON COLUMN platform.asset.created_at IS 'When it was created.';

CREATE TABLE platform.gateway_asset (
    gateway_id int NOT NULL,
    local_key text NOT NULL CHECK (local_key ~ '^[a-z0-9._-]{1,64}$'),
    organization_id int NOT NULL,
    asset_id int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, local_key),
    FOREIGN KEY (organization_id, gateway_id) REFERENCES platform.gateway (organization_id, id),
    FOREIGN KEY (organization_id, asset_id) REFERENCES platform.asset (organization_id, id)
);
CREATE INDEX ON platform.gateway_asset (asset_id);
COMMENT ON TABLE platform.gateway_asset IS 'Which asset a gateway means by its local key.';
COMMENT ON COLUMN platform.gateway_asset.gateway_id IS 'The gateway.';
COMMENT ON COLUMN platform.gateway_asset.local_key IS 'Its key for the asset.';
COMMENT ON COLUMN platform.gateway_asset.organization_id IS 'Who owns both.';
COMMENT ON COLUMN platform.gateway_asset.asset_id IS 'The asset.';
COMMENT ON COLUMN platform.gateway_asset.created_at IS 'Since when.';
