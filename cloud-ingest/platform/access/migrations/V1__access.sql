-- Users, API keys, and what signing in leaves behind.

COMMENT ON SCHEMA access IS 'Who may do what: users, API keys, signing in.';

CREATE TABLE access.user (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    email text NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    password_hash text NOT NULL,
    code_secret bytea CHECK (length(code_secret) >= 16),
    code_step bigint,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    UNIQUE (organization_id, id)
);
COMMENT ON TABLE access.user IS 'People who sign in.';
COMMENT ON COLUMN access.user.id IS 'The number.';
COMMENT ON COLUMN access.user.organization_id IS 'For whom they act.';
COMMENT ON COLUMN access.user.email IS 'By which they sign in, lower case.';
COMMENT ON COLUMN access.user.name IS 'Their name, for people.';
COMMENT ON COLUMN access.user.password_hash IS 'Argon2id, PHC string.';
COMMENT ON COLUMN access.user.code_secret IS 'Secret of their one-time codes (RFC 6238); NULL: they need none.';
COMMENT ON COLUMN access.user.code_step IS 'The step of the last code that was taken; none is taken twice.';
COMMENT ON COLUMN access.user.created_at IS 'Since when.';
COMMENT ON COLUMN access.user.disabled_at IS 'Since when they may not sign in; NULL: they may.';

CREATE TABLE access.user_role (
    user_id int NOT NULL,
    role text NOT NULL,
    organization_id int NOT NULL,
    PRIMARY KEY (user_id, role),
    FOREIGN KEY (organization_id, user_id) REFERENCES access.user (organization_id, id)
);
COMMENT ON TABLE access.user_role IS 'Roles of users; what a role permits stands in data/permissions.toml.';
COMMENT ON COLUMN access.user_role.user_id IS 'The user.';
COMMENT ON COLUMN access.user_role.role IS 'The role''s name.';
COMMENT ON COLUMN access.user_role.organization_id IS 'For whom the user acts.';

CREATE TABLE access.attempt (
    account bytea PRIMARY KEY CHECK (length(account) = 32),
    failures int NOT NULL,
    last_at timestamptz NOT NULL,
    locked_until timestamptz
);
COMMENT ON TABLE access.attempt IS 'Failed attempts to sign in, for addresses of users and of nobody alike.';
COMMENT ON COLUMN access.attempt.account IS 'SHA-256 of the address.';
COMMENT ON COLUMN access.attempt.failures IS 'How many since the last success.';
COMMENT ON COLUMN access.attempt.last_at IS 'The last one.';
COMMENT ON COLUMN access.attempt.locked_until IS 'Until when no password is taken; NULL: it may be tried.';

CREATE TABLE access.session (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL,
    user_id int NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_because text CHECK (ended_because IN ('signed out', 'reuse', 'password', 'disabled')),
    FOREIGN KEY (organization_id, user_id) REFERENCES access.user (organization_id, id),
    CHECK ((ended_at IS NULL) = (ended_because IS NULL))
);
CREATE INDEX session_by_user ON access.session (user_id);
COMMENT ON TABLE access.session IS 'What each sign-in began: the family of its tokens.';
COMMENT ON COLUMN access.session.id IS 'Its number.';
COMMENT ON COLUMN access.session.organization_id IS 'For whom the user acts.';
COMMENT ON COLUMN access.session.user_id IS 'Who signed in.';
COMMENT ON COLUMN access.session.created_at IS 'When.';
COMMENT ON COLUMN access.session.expires_at IS 'When they have to sign in again.';
COMMENT ON COLUMN access.session.ended_at IS 'Since when none of its tokens is good any more.';
COMMENT ON COLUMN access.session.ended_because IS 'Why: signed out, a refresh token came twice, the password was changed, the user was disabled.';

CREATE TABLE access.token (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    session_id bigint NOT NULL REFERENCES access.session ON DELETE CASCADE,
    organization_id int NOT NULL,
    sort text NOT NULL CHECK (sort IN ('page', 'access', 'refresh')),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX token_by_session ON access.token (session_id);
CREATE INDEX token_by_expiry ON access.token (expires_at);
COMMENT ON TABLE access.token IS 'Tokens of sessions; only their hashes are kept.';
COMMENT ON COLUMN access.token.hash IS 'SHA-256 of the token.';
COMMENT ON COLUMN access.token.session_id IS 'The session.';
COMMENT ON COLUMN access.token.organization_id IS 'For whom the user acts.';
COMMENT ON COLUMN access.token.sort IS 'page: cookie of a browser; access: short-lived, of a program; refresh: gets the next pair, once.';
COMMENT ON COLUMN access.token.expires_at IS 'Until when it is good.';
COMMENT ON COLUMN access.token.used_at IS 'When a refresh token was used; used again, it ends the session.';

CREATE TABLE access.api_key (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    prefix text NOT NULL UNIQUE CHECK (prefix ~ '^[0-9a-f]{12}$'),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    rotated_to int REFERENCES access.api_key
);
CREATE INDEX api_key_by_organization ON access.api_key (organization_id, id);
COMMENT ON TABLE access.api_key IS 'Keys of programs; only their hashes are kept.';
COMMENT ON COLUMN access.api_key.id IS 'Its number.';
COMMENT ON COLUMN access.api_key.organization_id IS 'For whom its bearer acts.';
COMMENT ON COLUMN access.api_key.name IS 'What it is for, for people.';
COMMENT ON COLUMN access.api_key.prefix IS 'Its first part, by which it is found and recognised.';
COMMENT ON COLUMN access.api_key.hash IS 'SHA-256 of the whole key.';
COMMENT ON COLUMN access.api_key.scopes IS 'Names of permissions (data/permissions.toml).';
COMMENT ON COLUMN access.api_key.created_at IS 'When it was made.';
COMMENT ON COLUMN access.api_key.created_by IS 'Who made it.';
COMMENT ON COLUMN access.api_key.expires_at IS 'Until when it is good; NULL: until it is revoked.';
COMMENT ON COLUMN access.api_key.revoked_at IS 'Since when it is not.';
COMMENT ON COLUMN access.api_key.last_used_at IS 'When it was last used, to a minute.';
COMMENT ON COLUMN access.api_key.rotated_to IS 'The key that takes its place.';

CALL platform.protect('access.user', app_may => 'SELECT, INSERT, UPDATE');
CALL platform.protect('access.user_role', app_may => 'SELECT, INSERT, DELETE');
CALL platform.protect('access.session', app_may => 'SELECT, UPDATE');
CALL platform.protect('access.token', app_may => '');
CALL platform.protect('access.api_key', app_may => 'SELECT, INSERT, UPDATE');
