-- Which vehicle a charging transaction is of, by what that is decided, and what is assumed while it is not known.

COMMENT ON SCHEMA charging IS 'Charging as the fleet sees it: which vehicle a transaction is of.';

CREATE TABLE charging.sign (
    organization_id int NOT NULL,
    kind text NOT NULL CHECK (kind IN ('card', 'own_id', 'place')),
    value text NOT NULL CHECK (length(value) BETWEEN 1 AND 255),
    asset_id int NOT NULL,
    PRIMARY KEY (organization_id, kind, value),
    FOREIGN KEY (organization_id, asset_id) REFERENCES platform.asset (organization_id, id)
);
CREATE INDEX ON charging.sign (asset_id);
COMMENT ON TABLE charging.sign IS 'By what vehicles are known at charging stations.';
COMMENT ON COLUMN charging.sign.organization_id IS 'Whose vehicle.';
COMMENT ON COLUMN charging.sign.kind IS 'card: a token that belongs to it; own_id: what the car itself says to a station (EVCC id, contract); place: where it usually stands.';
COMMENT ON COLUMN charging.sign.value IS 'The token in lower case, or the station''s number and its EVSE: 17.1.';
COMMENT ON COLUMN charging.sign.asset_id IS 'The vehicle.';

CREATE TABLE charging.vehicle (
    transaction_id bigint PRIMARY KEY REFERENCES telemetry.charging_transaction ON DELETE CASCADE,
    organization_id int NOT NULL,
    asset_id int,
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    certain boolean NOT NULL,
    evidence text[] NOT NULL,
    assigned_by text,
    decided_at timestamptz NOT NULL,
    FOREIGN KEY (organization_id, asset_id) REFERENCES platform.asset (organization_id, id)
);
CREATE INDEX ON charging.vehicle (asset_id);
COMMENT ON TABLE charging.vehicle IS 'Which vehicle a charging transaction is of: the latest decision.';
COMMENT ON COLUMN charging.vehicle.transaction_id IS 'The transaction.';
COMMENT ON COLUMN charging.vehicle.organization_id IS 'Whose station.';
COMMENT ON COLUMN charging.vehicle.asset_id IS 'The vehicle; NULL: it is not known, or none of this organisation''s.';
COMMENT ON COLUMN charging.vehicle.confidence IS 'How likely it is that one, of 1.';
COMMENT ON COLUMN charging.vehicle.certain IS 'Whether it may be relied upon.';
COMMENT ON COLUMN charging.vehicle.evidence IS 'What speaks for it, strongest first.';
COMMENT ON COLUMN charging.vehicle.assigned_by IS 'Who said so; NULL: nobody, it was matched. What somebody has said is not matched again.';
COMMENT ON COLUMN charging.vehicle.decided_at IS 'When.';

CREATE TABLE charging.assumption (
    organization_id int PRIMARY KEY REFERENCES platform.organization,
    energy_wh int NOT NULL CHECK (energy_wh BETWEEN 0 AND 1000000),
    leaves_after_s int NOT NULL CHECK (leaves_after_s BETWEEN 0 AND 604800)
);
COMMENT ON TABLE charging.assumption IS 'What is assumed of a car at a station while nobody knows which one it is: the fleet''s safe default.';
COMMENT ON COLUMN charging.assumption.organization_id IS 'Whose fleet.';
COMMENT ON COLUMN charging.assumption.energy_wh IS 'Energy that it needs, in Wh.';
COMMENT ON COLUMN charging.assumption.leaves_after_s IS 'How long after its transaction began it leaves, in s.';

CALL platform.protect('charging.sign');
CALL platform.protect('charging.vehicle');
CALL platform.protect('charging.assumption');
