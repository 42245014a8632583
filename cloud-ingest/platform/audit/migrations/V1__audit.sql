-- What was done, by whom: entries that can only be added, each with the hash of the one before it.
--
-- An organisation has a chain of its own, and so has the house (organization_id NULL, tenant 0). The database links the
-- entries itself, so that nobody can add one outside the chain, and verification in the program computes the same hash
-- by itself:
--
--   hash = sha256(hash of the entry before, 32 zero bytes at the first
--                 || int8 seq || int4 tenant || int8 microseconds since 1970-01-01 UTC
--                 || actor || action || subject || before || after || request)
--
-- where each text is preceded by its length in bytes as int4, -1 for NULL, and numbers are big-endian.

COMMENT ON SCHEMA audit IS 'Who did what: append-only and hash-chained.';

CREATE TABLE audit.head (
    tenant int PRIMARY KEY,
    seq bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON TABLE audit.head IS 'The last entry of each chain, so that entries cut off at the end are missed.';
COMMENT ON COLUMN audit.head.tenant IS 'Number of the organisation, 0 for the house itself.';
COMMENT ON COLUMN audit.head.seq IS 'Number of the last entry.';
COMMENT ON COLUMN audit.head.hash IS 'Its hash.';

CREATE TABLE audit.entry (
    tenant int NOT NULL GENERATED ALWAYS AS (coalesce(organization_id, 0)) STORED,
    seq bigint NOT NULL,
    organization_id int REFERENCES platform.organization,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL CHECK (action ~ '^[a-z0-9_]+(\.[a-z0-9_]+)+$'),
    subject text NOT NULL,
    before json,
    after json,
    request_id text NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant, seq)
);
CREATE INDEX ON audit.entry (tenant, subject, seq);
COMMENT ON TABLE audit.entry IS 'What was done. Rows are never changed and never deleted.';
COMMENT ON COLUMN audit.entry.tenant IS 'organization_id, 0 for the house itself.';
COMMENT ON COLUMN audit.entry.seq IS 'Its number in the chain, from 1, without gaps.';
COMMENT ON COLUMN audit.entry.organization_id IS 'For whom it was done; NULL: for the house itself.';
COMMENT ON COLUMN audit.entry.at IS 'When.';
COMMENT ON COLUMN audit.entry.actor IS 'Who: user:12, key:7, system:name, job:kind.';
COMMENT ON COLUMN audit.entry.action IS 'What, room.what.';
COMMENT ON COLUMN audit.entry.subject IS 'To what, such as vehicle:17.';
COMMENT ON COLUMN audit.entry.before IS 'As it was; NULL: it was not there. Kept letter by letter.';
COMMENT ON COLUMN audit.entry.after IS 'As it is since; NULL: it is gone.';
COMMENT ON COLUMN audit.entry.request_id IS 'The request in which it was done.';
COMMENT ON COLUMN audit.entry.hash IS 'SHA-256 of this entry and of the hash before it.';

CREATE FUNCTION audit.field(content bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(int4send(length(content)) || content, int4send(-1))
$$;
COMMENT ON FUNCTION audit.field IS 'A text with its length before it, as it is hashed.';

-- Runs as the owner, whom alone the head belongs to.
CREATE FUNCTION audit.link() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chain constant int := coalesce(NEW.organization_id, 0);
    last audit.head;
BEGIN
    INSERT INTO audit.head VALUES (chain, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT last FROM audit.head WHERE tenant = chain FOR UPDATE;
    NEW.seq := last.seq + 1;
    NEW.hash := sha256(last.hash || int8send(NEW.seq) || int4send(chain)
        || int8send((extract(epoch FROM NEW.at) * 1000000)::bigint)
        || audit.field(convert_to(NEW.actor, 'UTF8')) || audit.field(convert_to(NEW.action, 'UTF8'))
        || audit.field(convert_to(NEW.subject, 'UTF8')) || audit.field(convert_to(NEW.before::text, 'UTF8'))
        || audit.field(convert_to(NEW.after::text, 'UTF8')) || audit.field(convert_to(NEW.request_id, 'UTF8')));
    UPDATE audit.head SET seq = NEW.seq, hash = NEW.hash WHERE tenant = chain;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION audit.link IS 'Gives an entry its number and hash. Entries of an organisation wait for each other until COMMIT.';
CREATE TRIGGER link BEFORE INSERT ON audit.entry FOR EACH ROW EXECUTE FUNCTION audit.link();

CREATE FUNCTION audit.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION audit.refuse IS 'Refuses to change what was written.';
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.entry EXECUTE FUNCTION audit.refuse();
CREATE TRIGGER refuse BEFORE DELETE OR TRUNCATE ON audit.head EXECUTE FUNCTION audit.refuse();

CALL platform.protect('audit.entry', app_may => 'SELECT, INSERT');
CALL platform.protect('audit.head', 'tenant', 'SELECT');
-- The trigger acts as the owner.
CREATE POLICY chain ON audit.head TO CURRENT_USER USING (true) WITH CHECK (true);
REVOKE UPDATE, DELETE ON audit.entry FROM patio_system;
REVOKE INSERT, UPDATE, DELETE ON audit.head FROM patio_system;
