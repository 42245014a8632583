-- Signing in with an organisation's own provider (OpenID Connect), one-time-code secrets that are sealed, and columns
-- that the application may write and not read: hashes and secrets are the system's alone.

CREATE TABLE access.oidc_provider (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    issuer text NOT NULL CHECK (issuer ~ '^https?://' AND length(issuer) <= 500),
    client_id text NOT NULL CHECK (length(client_id) BETWEEN 1 AND 500),
    client_secret bytea,
    created_at timestamptz NOT NULL,
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE access.oidc_provider IS 'OpenID providers at which organisations'' people sign in.';
COMMENT ON COLUMN access.oidc_provider.id IS 'Its number.';
COMMENT ON COLUMN access.oidc_provider.organization_id IS 'Whose people it vouches for, and nobody else''s.';
COMMENT ON COLUMN access.oidc_provider.name IS 'Its name in addresses; unique over all organisations.';
COMMENT ON COLUMN access.oidc_provider.issuer IS 'Its issuer identifier (OpenID Connect Discovery 1.0, 3).';
COMMENT ON COLUMN access.oidc_provider.client_id IS 'As whom it knows us.';
COMMENT ON COLUMN access.oidc_provider.client_secret IS 'By which we prove it, sealed for this row.';
COMMENT ON COLUMN access.oidc_provider.created_at IS 'Since when.';

CREATE TABLE access.oidc_attempt (
    state bytea PRIMARY KEY CHECK (length(state) = 32),
    browser bytea NOT NULL CHECK (length(browser) = 32),
    organization_id int NOT NULL,
    provider_id bigint NOT NULL,
    return_to text NOT NULL,
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (organization_id, provider_id) REFERENCES access.oidc_provider (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX oidc_attempt_expiry ON access.oidc_attempt (expires_at);
CREATE INDEX oidc_attempt_provider ON access.oidc_attempt (provider_id);
COMMENT ON TABLE access.oidc_attempt IS 'Who was sent to a provider and is to come back, once.';
COMMENT ON COLUMN access.oidc_attempt.state IS 'SHA-256 of the state that comes back with them.';
COMMENT ON COLUMN access.oidc_attempt.browser IS 'SHA-256 of the cookie of the browser that was sent.';
COMMENT ON COLUMN access.oidc_attempt.organization_id IS 'Whose provider it is.';
COMMENT ON COLUMN access.oidc_attempt.provider_id IS 'The provider.';
COMMENT ON COLUMN access.oidc_attempt.return_to IS 'The page of ours to which they go then.';
COMMENT ON COLUMN access.oidc_attempt.expires_at IS 'Until when they may come back.';

CREATE TABLE access.oidc_link (
    provider_id bigint NOT NULL,
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    organization_id int NOT NULL,
    user_id int NOT NULL,
    linked_at timestamptz NOT NULL,
    PRIMARY KEY (provider_id, subject),
    UNIQUE (provider_id, user_id),
    FOREIGN KEY (organization_id, provider_id) REFERENCES access.oidc_provider (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, user_id) REFERENCES access.user (organization_id, id)
);
CREATE INDEX oidc_link_user ON access.oidc_link (user_id);
COMMENT ON TABLE access.oidc_link IS 'Which user a provider means.';
COMMENT ON COLUMN access.oidc_link.provider_id IS 'The provider.';
COMMENT ON COLUMN access.oidc_link.subject IS 'Its name for them (sub), which never changes.';
COMMENT ON COLUMN access.oidc_link.organization_id IS 'Whose provider and user they are.';
COMMENT ON COLUMN access.oidc_link.user_id IS 'The user.';
COMMENT ON COLUMN access.oidc_link.linked_at IS 'Since when: their first sign-in, with an address that the provider had verified.';

CALL platform.protect('access.oidc_provider', app_may => 'INSERT, DELETE');
GRANT SELECT (id, organization_id, name, issuer, client_id, created_at), UPDATE (client_secret) ON access.oidc_provider TO patio_app;
CALL platform.protect('access.oidc_attempt', app_may => '');
CALL platform.protect('access.oidc_link', app_may => 'SELECT, DELETE');

-- Secrets of one-time codes are sealed for their row. Those of before are sealed by the program as soon as it starts
-- with a key ring; new ones are not made without.
ALTER TABLE access.user
    ADD COLUMN code_sealed bytea,
    ADD COLUMN needs_code boolean NOT NULL GENERATED ALWAYS AS (code_secret IS NOT NULL OR code_sealed IS NOT NULL) STORED,
    ADD CHECK (code_secret IS NULL OR code_sealed IS NULL);
COMMENT ON COLUMN access.user.code_secret IS 'Secret of their one-time codes as versions before kept it; sealed into code_sealed, and emptied, at the next start with a key ring.';
COMMENT ON COLUMN access.user.code_sealed IS 'Secret of their one-time codes (RFC 6238), sealed for this row; NULL: see code_secret.';
COMMENT ON COLUMN access.user.needs_code IS 'Whether they have to give a one-time code.';

-- What the application may read of it: no hash, no secret.
REVOKE SELECT, INSERT, UPDATE ON access.user FROM patio_app;
GRANT SELECT (id, organization_id, email, name, code_step, created_at, disabled_at, needs_code),
    INSERT (organization_id, email, name, password_hash, created_at),
    UPDATE (name, password_hash, code_secret, code_sealed, code_step, disabled_at) ON access.user TO patio_app;
REVOKE SELECT, INSERT, UPDATE ON access.api_key FROM patio_app;
GRANT SELECT (id, organization_id, name, prefix, scopes, created_at, created_by, expires_at, revoked_at, last_used_at, rotated_to),
    INSERT (organization_id, name, prefix, hash, scopes, created_at, created_by, expires_at),
    UPDATE (expires_at, revoked_at, last_used_at, rotated_to) ON access.api_key TO patio_app;
