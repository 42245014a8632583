-- The roles that programs act as. Roles are of the whole server, so other databases may be making them at this moment,
-- and each step looks first and bears having lost the race. The login that migrates may act as all of them.
DO $$
DECLARE
    wanted text;
    super constant boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
    FOREACH wanted IN ARRAY ARRAY['patio_app', 'patio_system', 'patio_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        IF NOT super AND NOT pg_has_role(current_user, wanted, 'USAGE') THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I', wanted, current_user);
            EXCEPTION WHEN unique_violation OR internal_error THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$$
