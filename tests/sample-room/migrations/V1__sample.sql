-- Vehicles that somebody has said are ready. Migration: numbered, of this room only, comments on everything.

COMMENT ON SCHEMA sample IS 'A sample: what a new room looks like.';

CREATE TABLE sample.readiness (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id int NOT NULL,
    asset_id int NOT NULL,
    state_of_charge double precision NOT NULL CHECK (state_of_charge BETWEEN 0 AND 100),
    declared_at timestamptz NOT NULL,
    lapsed_at timestamptz,
    FOREIGN KEY (organization_id, asset_id) REFERENCES platform.asset (organization_id, id)
);
CREATE INDEX ON sample.readiness (organization_id, id);
COMMENT ON TABLE sample.readiness IS 'Vehicles that were declared ready.';
COMMENT ON COLUMN sample.readiness.id IS 'Its number.';
COMMENT ON COLUMN sample.readiness.organization_id IS 'Whose vehicle.';
COMMENT ON COLUMN sample.readiness.asset_id IS 'The vehicle.';
COMMENT ON COLUMN sample.readiness.state_of_charge IS 'Its state of charge in percent.';
COMMENT ON COLUMN sample.readiness.declared_at IS 'When it was declared.';
COMMENT ON COLUMN sample.readiness.lapsed_at IS 'When it was no longer so; NULL: it is.';

-- Organisations see and write their own rows and no others.
CALL platform.protect('sample.readiness');
