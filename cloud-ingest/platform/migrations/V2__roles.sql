-- Who may see what. Programs act as roles that own nothing (queries/roles.sql makes them):
--
--   patio_app      one organisation at a time: the transaction's setting patio.organization says which
--   patio_system   all organisations: register, ingest, workers, sign-in
--   patio_reader   what dashboards may read; every login that is a member belongs to one organisation
--
-- A room's migration says `CALL platform.protect('room.table')` for each table of organisations' rows, and
-- `CALL platform.expose(...)` for a view by which organisations read what carries only an asset's number.
-- patio_system is given the right to every new table by default privileges (see `migrate`).

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA platform TO patio_system;

CREATE TABLE platform.reader (
    role_name name PRIMARY KEY,
    organization_id int NOT NULL REFERENCES platform.organization,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE platform.reader IS 'Logins of dashboards: each reads what belongs to one organisation.';
COMMENT ON COLUMN platform.reader.role_name IS 'The database role.';
COMMENT ON COLUMN platform.reader.organization_id IS 'Whose rows it reads.';
COMMENT ON COLUMN platform.reader.created_at IS 'Since when.';

-- A reader is known by who it is, which no statement of its own can change. Only the application is asked to say.
CREATE FUNCTION platform.current_organization() RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE current_user
        WHEN 'patio_app' THEN nullif(current_setting('patio.organization', true), '')::int
        ELSE (SELECT r.organization_id FROM platform.reader AS r WHERE r.role_name = current_user)
    END
$$;
COMMENT ON FUNCTION platform.current_organization IS 'The organisation that this transaction acts for; NULL: none, and then no protected row is seen.';

CREATE PROCEDURE platform.protect(
    target regclass,
    organization_column name DEFAULT 'organization_id',
    app_may text DEFAULT 'SELECT, INSERT, UPDATE, DELETE',
    reader_may boolean DEFAULT false
)
LANGUAGE plpgsql AS $$
DECLARE
    own constant text := format('(%I = (SELECT platform.current_organization()))', organization_column);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY organization ON %s TO patio_app, patio_reader USING %s WITH CHECK %s', target, own, own);
    EXECUTE format('CREATE POLICY system ON %s TO patio_system USING (true) WITH CHECK (true)', target);
    IF app_may <> '' THEN
        EXECUTE format('GRANT %s ON %s TO patio_app', app_may, target);
    END IF;
    IF reader_may THEN
        EXECUTE format('GRANT SELECT ON %s TO patio_reader', target);
    END IF;
END
$$;
COMMENT ON PROCEDURE platform.protect IS 'Row-level security for a table of organisations'' rows: the application and readers see and write those of their organisation, the system all. app_may lists the application''s rights, '''' for none.';

CREATE PROCEDURE platform.expose(source regclass, view_name text, condition text)
LANGUAGE plpgsql AS $$
DECLARE
    about record;
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW %s WITH (security_barrier) AS SELECT s.* FROM %s AS s WHERE %s',
        view_name, source, condition);
    EXECUTE format('GRANT SELECT ON %s TO patio_app, patio_reader', view_name);
    EXECUTE format('COMMENT ON VIEW %s IS %L', view_name,
        'Of the own organisation: ' || coalesce(obj_description(source, 'pg_class'), source::text));
    FOR about IN
        SELECT attname, col_description(attrelid, attnum) AS text FROM pg_attribute
        WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NOT NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', view_name, about.attname, about.text);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE platform.expose IS 'Makes or renews the view by which organisations read a table or view s that is granted to nobody; condition picks their rows, such as s.asset_id IN (SELECT platform.own_assets()).';

-- Called in views and policies: inlined, so that the planner sees a join.
CREATE FUNCTION platform.own_assets() RETURNS SETOF int
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT a.id FROM platform.asset AS a WHERE a.organization_id = (SELECT platform.current_organization())
$$;
COMMENT ON FUNCTION platform.own_assets IS 'The assets of the organisation that this transaction acts for.';

CREATE PROCEDURE platform.share(target regclass)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY shared ON %s FOR SELECT TO patio_app, patio_reader USING (true)', target);
    EXECUTE format('CREATE POLICY system ON %s TO patio_system USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT ON %s TO patio_app, patio_reader', target);
END
$$;
COMMENT ON PROCEDURE platform.share IS 'A table that every organisation may read and none may write, such as a catalogue.';

REVOKE EXECUTE ON PROCEDURE platform.protect, platform.expose, platform.share FROM PUBLIC;

CALL platform.protect('platform.organization', 'id', 'SELECT', true);
CALL platform.protect('platform.gateway', app_may => 'SELECT', reader_may => true);
CALL platform.protect('platform.gateway_key', app_may => 'SELECT');
CALL platform.protect('platform.asset', app_may => 'SELECT, UPDATE', reader_may => true);
CALL platform.protect('platform.gateway_asset', app_may => 'SELECT', reader_may => true);

-- A reader finds itself before it is known whose it is, so its policy asks no current_organization().
ALTER TABLE platform.reader ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY organization ON platform.reader FOR SELECT TO patio_app
    USING (organization_id = (SELECT platform.current_organization()));
CREATE POLICY system ON platform.reader TO patio_system USING (true) WITH CHECK (true);
CREATE POLICY itself ON platform.reader FOR SELECT TO patio_reader USING (role_name = current_user);
GRANT SELECT ON platform.reader TO patio_app, patio_reader;
